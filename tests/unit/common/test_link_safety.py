"""Links judged without the network: everything that is not plainly public https is refused."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.link_safety import (
    Link,
    LinkPolicy,
    LinkProblem,
    is_plainly_public,
    judge_link,
    read_link,
)

CLOSED = LinkPolicy()
OPEN = LinkPolicy.parse("127.0.0.0/8, ::1/128")


@pytest.mark.parametrize(
    "url",
    [
        "https://news.example.com/u?t=1",
        "HTTPS://News.Example.com/u",
        "https://news.example.com",
        "https://news.example.com:443/u",
        "https://click_tracking.example.com/u",  # an underscore is seen in real hosts
        "https://xn--mnchen-3ya.example/u",
        "https://93.184.215.14/u",
        "https://[2606:2800:220:1::1]/u",
        "https://news.example.com/u//a/../b;c=%2f?x={1}|2",  # sloppy, but harmless
        "https://news.example.com/" + "a" * 8192,  # a token of 8 kB
    ],
)
def test_a_plain_https_link_is_safe(url):
    """The ordinary case."""
    assert judge_link(url, CLOSED) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://news.example.com/u", LinkProblem.NOT_HTTPS),
        ("javascript:alert(1)", LinkProblem.SCHEME_NOT_WEB),
        ("data:text/html,x", LinkProblem.SCHEME_NOT_WEB),
        ("ftp://news.example.com/", LinkProblem.SCHEME_NOT_WEB),
        ("//news.example.com/", LinkProblem.SCHEME_NOT_WEB),
        ("https:news.example.com", LinkProblem.SCHEME_NOT_WEB),
        ("https://user:pw@news.example.com/", LinkProblem.USERINFO),
        ("https://news.example.com@127.0.0.1/", LinkProblem.USERINFO),
        ("https://news.example.com:22/", LinkProblem.PORT_NOT_ALLOWED),
        ("https://news.example.com:80/", LinkProblem.PORT_NOT_ALLOWED),
        ("https://news.example.com:0/", LinkProblem.PORT_NOT_ALLOWED),
        ("https://news.example.com:99999/", LinkProblem.PORT_NOT_ALLOWED),
        ("https://news.example.com:/", LinkProblem.MALFORMED),
        ("https://news.example.com:443:1/", LinkProblem.MALFORMED),
        ("https:///path", LinkProblem.MALFORMED),
        ("https://news.example.com\\@127.0.0.1/", LinkProblem.MALFORMED),
        ("https://news.example.com/\r\nHost: x", LinkProblem.MALFORMED),
        ("https://news.example.com/a b", LinkProblem.MALFORMED),
        ("https://news.example.com/\x00", LinkProblem.MALFORMED),
        ("https://news.exämple.com/", LinkProblem.MALFORMED),  # a URI is ASCII
        ("https://\uff11\uff12\uff17.0.0.1/", LinkProblem.MALFORMED),  # digits that IDNA turns into 127
        ("https://news.example.com/" + "a" * 20_000, LinkProblem.TOO_LONG),
        ("", LinkProblem.MALFORMED),
        # names that are no public names
        ("https://localhost/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://mail/", LinkProblem.HOST_NOT_A_NAME),
        ("https://printer.local/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://metadata.google.internal/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://a.localhost/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://1.0.0.127.in-addr.arpa/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://news.example.com./", LinkProblem.HOST_NOT_A_NAME),  # a root dot slips past name lists
        ("https://news%2eexample.com/", LinkProblem.HOST_NOT_A_NAME),
        ("https://-a-.example.com/", LinkProblem.HOST_NOT_A_NAME),
        ("https://" + "a" * 64 + ".example.com/", LinkProblem.HOST_NOT_A_NAME),
        ("https://" + "a." * 130 + "com/", LinkProblem.HOST_NOT_A_NAME),
        # 127.0.0.1 and its disguises
        ("https://127.0.0.1/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://127.1/", LinkProblem.HOST_NOT_A_NAME),
        ("https://2130706433/", LinkProblem.HOST_NOT_A_NAME),
        ("https://0x7f000001/", LinkProblem.HOST_NOT_A_NAME),
        ("https://0x7f.1/", LinkProblem.HOST_NOT_A_NAME),
        ("https://127.0.0.0x1/", LinkProblem.HOST_NOT_A_NAME),
        ("https://0177.0.0.1/", LinkProblem.HOST_NOT_A_NAME),
        ("https://127.0.0.1./", LinkProblem.HOST_NOT_A_NAME),
        ("https://[::1]/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://[::ffff:169.254.169.254]/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://[::ffff:127.0.0.1]/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://[64:ff9b::7f00:1]/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://[2002:7f00:1::]/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://[fe80::1%25eth0]/", LinkProblem.HOST_NOT_A_NAME),
        ("https://[fe80::1%eth0]/", LinkProblem.HOST_NOT_A_NAME),
        ("https://[news.example.com]/", LinkProblem.HOST_NOT_A_NAME),
        ("https://[127.0.0.1]/", LinkProblem.HOST_NOT_A_NAME),
        ("https://[::1/", LinkProblem.MALFORMED),
        ("https://::1/", LinkProblem.MALFORMED),
        # others that lead inside
        ("https://169.254.169.254/latest/meta-data", LinkProblem.HOST_NOT_PUBLIC),
        ("https://10.0.0.1/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://100.64.0.1/", LinkProblem.HOST_NOT_PUBLIC),
        ("https://224.0.0.1/", LinkProblem.HOST_NOT_PUBLIC),
        # unsafe goes before unencrypted: such a page must not be shown either
        ("http://10.0.0.1/", LinkProblem.HOST_NOT_PUBLIC),
    ],
)
def test_an_unsafe_link_is_refused(url, problem):
    """One row per trick."""
    assert judge_link(url, CLOSED) is problem


@pytest.mark.promise("quiet.egress")
@pytest.mark.parametrize(
    ("ip", "is_public"),
    [
        ("8.8.8.8", True),
        ("93.184.215.14", True),
        ("2606:2800:220:1::1", True),
        ("2a00:1450:4007::1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),  # CGNAT
        ("100.127.255.255", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("172.32.0.1", True),
        ("192.0.0.170", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.255.255.255", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:8.8.8.8", False),  # mapped: refused even when what it holds is public
        ("::8.8.8.8", False),
        ("64:ff9b::808:808", False),
        ("64:ff9b:1::1", False),
        ("100::1", False),
        ("2001::1", False),  # Teredo
        ("2001:20::1", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("2606:2800::5efe:7f00:1", False),  # ISATAP of 127.0.0.1
        ("2606:2800::200:5efe:808:808", False),
        ("fc00::1", False),
        ("fd12::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2606:2800:220:1::1%1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_only_plainly_public_addresses_are_public(ip, is_public):
    """IANA special-purpose registries, and every prefix that can carry a private IPv4 address."""
    assert is_plainly_public(ip) is is_public


@given(st.ip_addresses())
def test_no_address_is_public_that_python_knows_to_be_private(ip):
    """The standard library's list is a lower bound."""
    if is_plainly_public(ip):
        assert ip.is_global
        assert not ip.is_multicast


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("http://127.0.0.1:8081/u", True),
        ("https://127.0.0.1:8443/u", True),
        ("http://[::1]:8081/u", True),
        ("http://localhost:8081/u", True),
        ("http://127.1:8081/u", False),  # disguises stay disguises
        ("http://10.0.0.1:8081/u", False),
        ("http://user@127.0.0.1:8081/u", False),
        ("http://[::ffff:127.0.0.1]:8081/u", False),
        ("https://10.0.0.1/u", False),
    ],
)
def test_a_policy_opens_the_hosts_inside_it_and_no_others(url, is_open):
    """For the sandbox and for tests."""
    assert isinstance(read_link(url, OPEN), Link) is is_open


def test_localhost_is_open_only_when_loopback_is():
    """`localhost` is a name for loopback and nothing else."""
    assert not LinkPolicy.parse("10.0.0.0/8").allows_host("localhost")
    assert LinkPolicy.parse("::1/128").allows_host("localhost")
    assert not OPEN.allows_host("localhost.example.com")


def test_a_policy_permits_public_addresses_and_those_it_opens():
    """What the egress asks before it connects."""
    assert OPEN.permits(ip_address("127.0.0.1"))
    assert OPEN.permits("8.8.8.8")
    assert not OPEN.permits("10.0.0.1")
    assert not CLOSED.permits("::1")


def test_a_policy_that_is_no_network_is_an_error():
    """A typing mistake must not open or close anything by chance."""
    assert LinkPolicy.parse(" ") == CLOSED
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        LinkPolicy.parse("10.0.0.0/33")


def test_a_link_keeps_its_path_as_written_and_loses_its_fragment():
    """Signed links break when a path is normalised; a fragment is never sent."""
    link = read_link("HTTPS://News.Example.com//a/../b/%2e%2E/?T=A%2fb&x#frag?y", CLOSED)
    assert link == Link(
        "https",
        "news.example.com",
        443,
        "//a/../b/%2e%2E/?T=A%2fb&x",
        "https://news.example.com//a/../b/%2e%2E/?T=A%2fb&x",
    )
    assert isinstance(link, Link)
    assert link.address is None


def test_a_link_without_a_path_asks_for_the_root():
    """RFC 9112 section 3.2.1; an address host gives its address."""
    link = read_link("https://8.8.8.8?x=1", CLOSED)
    assert isinstance(link, Link)
    assert link.address == ip_address("8.8.8.8")
    assert link.target == "/?x=1"
    root = read_link("https://news.example.com", CLOSED)
    assert isinstance(root, Link)
    assert root.target == "/"


@given(st.text() | st.from_regex(r"https?://[\[\]0-9a-fx.:@%\\/?#-]{0,30}"))
def test_judging_never_raises(url):
    """Whatever a sender writes."""
    read_link(url, OPEN)
    read_link(url, CLOSED)
