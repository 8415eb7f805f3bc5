"""Where an answer may be sent: nowhere that was not registered, whatever is tried."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.auth.oauth.domain.errors import OAuthError
from services.auth.oauth.domain.redirects import (
    check_redirect_uri,
    host_of,
    is_plain_authority,
    is_registered,
    origin_of,
)
from services.auth.oauth.domain.requests import Asked

pytestmark = pytest.mark.promise("rights.redirects")

LOOPBACK = "http://127.0.0.1:7777/callback"
WEB = "https://client.example/cb?x=1"


def is_fit(uri: str) -> bool:
    try:
        check_redirect_uri(uri)
    except OAuthError:
        return False
    return True


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://client.example/cb", True),
        ("https://client.example:8443/cb?x=1", True),
        ("https://xn--80ak6aa92e.example/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://127.0.0.1:1/cb", True),
        ("http://[::1]:8080/cb", True),
        ("http://localhost:3000/cb", True),
        ("com.example.app:/cb", True),
        ("com.example.app://cb", True),
        ("http://client.example/cb", False),
        ("http://127.0.0.2/cb", False),
        ("http://localhost.evil.example/cb", False),
        ("https://client.example/#x", False),
        ("https://client.example/cb#", False),
        ("https://user@client.example/", False),
        ("https://@client.example/", False),
        ("https://user:pass@client.example/", False),
        ("https://client.example\\@evil.example/", False),
        ("https://client.example%2f@evil.example/", False),
        ("https://client%2eexample/", False),
        ("https://client.example./", False),
        ("https://.client.example/", False),
        ("https://client..example/", False),
        ("https://-client.example/", False),
        ("https://client.example:/", False),
        ("https://client.example:0/", False),
        ("https://client.example:99999/", False),
        ("https://client.example:8a/", False),
        ("https://client.example;script-src/", False),
        ("https://client.example,evil.example/", False),
        ("https://client.example'/", False),
        ("https:client.example/", False),
        ("https:///client.example/", False),
        ("https://[::1/", False),
        ("http://[::1%25lo]/", False),
        ("http://[::ffff:127.0.0.1]/", False),
        ("https://кл.example/", False),
        ("https://client.example/ ", False),
        ("https://client.example/\r\nSet-Cookie: x", False),
        ("https://client.example/\x00", False),
        ("https://client.example/?code=x", False),
        ("https://client.example/?a=1&state=", False),
        ("https://client.example/?%69ss=x", False),
        ("javascript:alert(1)", False),
        ("javascript.x:alert(1)", True),
        ("data:text/html,x", False),
        ("file:///etc/passwd", False),
        ("urn:ietf:wg:oauth:2.0:oob", False),
        ("//client.example/", False),
        ("/cb", False),
        ("", False),
        ("https://client.example/" + "x" * 1_024, False),
    ],
)
def test_only_plain_uris_of_fit_places_are_taken(uri: str, expected: bool) -> None:
    """RFC 9700 §4.1, RFC 8252 §7, OAuth 2.1 §2.3."""
    assert is_fit(uri) is expected


URIS = st.builds(
    "{}{}".format,
    st.sampled_from(
        ["https://", "https://a.example", "http://127.0.0.1", "http://[::1]", "com.example.app:", ""]
    ),
    st.text(alphabet="ab1.:/?&=;,@[]%#'\"<>\\ \u0430\r\n", max_size=12) | st.text(max_size=30),
)


@given(URIS)
def test_whatever_is_taken_leads_to_one_plain_place(uri: str) -> None:
    """A source in a policy, a place to show to people, a header: all safe to write."""
    if not is_fit(uri):
        return
    parts = urlsplit(uri)
    assert uri.isascii()
    assert uri.isprintable()
    assert not parts.fragment
    for written in (origin_of(uri), host_of(uri)):
        assert not set(written) & set(";,'\"<>\\\r\n")
    assert " " not in origin_of(uri)


@given(st.text(alphabet="abz01.-:[]@%;,/ \\é", max_size=40))
def test_an_authority_has_no_second_reading(netloc: str) -> None:
    """What is plain holds host and port only, so that every reader finds the same host."""
    if not is_plain_authority(netloc):
        return
    parts = urlsplit(f"https://{netloc}/")
    host = netloc[1 : netloc.index("]")] if netloc.startswith("[") else netloc.partition(":")[0]
    assert parts.hostname == host.lower()
    assert parts.username is None
    assert not host.endswith(".")


@given(st.text(max_size=80), st.sampled_from([LOOPBACK, WEB]))
def test_no_other_text_is_a_registered_uri(uri: str, known: str) -> None:
    """Exact comparison (RFC 9700 §2.1); only the port of a loopback address may differ."""
    assume(uri != known)
    assert not is_registered(uri, [known]) or uri.startswith("http://127.0.0.1")


@given(st.sampled_from([LOOPBACK, WEB]), st.text(alphabet="/.?&#@:%aZ0 \\", min_size=1, max_size=8))
def test_nothing_can_be_put_behind_or_before_it(known: str, more: str) -> None:
    """No suffix, no prefix."""
    assert not is_registered(known + more, [known])
    assert not is_registered(more + known, [known])


@given(st.integers(min_value=1, max_value=65_535))
def test_a_program_on_the_device_chooses_any_port(port: int) -> None:
    """RFC 8252 §7.3: of a loopback address, and of nothing else."""
    assert is_registered(f"http://127.0.0.1:{port}/callback", [LOOPBACK])
    assert is_registered(f"http://[::1]:{port}/cb", ["http://[::1]/cb"])
    for uri, known in (
        (f"http://127.0.0.1:{port}/other", LOOPBACK),
        (f"http://127.0.0.1:{port}/callback?x=1", LOOPBACK),
        (f"https://127.0.0.1:{port}/callback", LOOPBACK),
        (f"http://[::1]:{port}/callback", LOOPBACK),
        (f"http://localhost:{port}/callback", LOOPBACK),
        (f"https://client.example:{port}/cb?x=1", WEB),
        (f"http://localhost:{port}/cb", "http://localhost:1/cb" if port != 1 else "http://localhost:2/cb"),
    ):
        assert not is_registered(uri, [known]), uri


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_answer_holds_what_was_meant_and_nothing_that_was_smuggled_in(state: str, code: str) -> None:
    """A state cannot add a parameter, end the query or begin a header."""
    asked = Asked("c", "n", WEB, state, "", "", (), named_scopes=False)
    uri = asked.answer("https://issuer.example", code=code)
    assert uri.startswith(WEB + "&")
    assert uri.isascii()
    assert uri.isprintable()
    assert "#" not in uri
    sent = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    expected = [("x", "1"), ("code", code), *([("state", state)] if state else [])]
    assert sent == [*expected, ("iss", "https://issuer.example")]
