"""The guarded way out, against hosts that misbehave over real sockets."""

import asyncio
import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import aiohappyeyeballs
import pytest

from services.common import egress as egress_module
from services.common.egress import (
    Answered,
    Egress,
    EgressLimits,
    Lost,
    NeverConnected,
    Refused,
)
from services.common.link_safety import LinkPolicy
from services.common.tracing import Trace, within
from tests.integration.mail_core.adapters import certificates, hosts

LOOPBACK = LinkPolicy.parse("127.0.0.0/8")
PUBLIC = "93.184.215.14"


def guarded(policy: LinkPolicy = LOOPBACK, **options) -> Egress:
    limits = EgressLimits(**{"total_s": 2.0, **options.pop("limits", {})})
    return Egress(policy=policy, limits=limits, **options)


async def post(egress: Egress, url: str):
    async with asyncio.timeout(5):
        return await egress.post(url, b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded")


@contextmanager
def watched_sockets() -> Iterator[list[str]]:
    """Record every address that a socket of this process is told to connect to."""
    addresses: list[str] = []
    original = socket.socket.connect

    def connect(self, address):
        addresses.append(str(address[0]))
        return original(self, address)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", connect)
        yield addresses


class Names:
    """A DNS that gives one answer after the other."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        if not self.answers:
            raise OSError("no such name")
        return self.answers.pop(0)


@pytest.mark.promise("quiet.egress")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
    ],
)
async def test_a_name_with_an_address_that_is_not_public_gets_no_connection(address):
    """Whatever the DNS claims, no socket goes to a non-public address (peers part 3, trap 3)."""
    egress = guarded(LinkPolicy(), resolve=Names((PUBLIC, address)))
    with watched_sockets() as connected:
        outcome = await post(egress, "https://lists.example.com/u")
    assert Refused("HOST_NOT_PUBLIC") == outcome
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/u",
        "https://[::1]/u",
        "https://[::ffff:169.254.169.254]/u",
        "https://[64:ff9b::7f00:1]/u",
        "https://[2002:7f00:1::]/u",
        "https://[fe80::1%25eth0]/u",
        "https://2130706433/u",
        "https://0x7f000001/u",
        "https://0177.0.0.1/u",
        "https://127.1/u",
        "https://localhost/u",
        "https://metadata.google.internal/u",
        "http://lists.example.com/u",
        "https://lists.example.com:22/u",
        "https://lists.example.com:8443/u",
        "https://user:pw@lists.example.com/u",
        "https://lists.example.com\\@127.0.0.1/u",
        "https://lists.example.com/\r\nX: y",
        "https://exämple.com/u",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//lists.example.com/u",
        "",
        "https://lists.example.com/" + "x" * 20_000,
    ],
)
async def test_an_unsafe_link_is_refused_before_its_name_is_asked_for(url):
    """A refused link costs neither a connection nor a DNS question that the sender could see."""
    names = Names((PUBLIC,))
    with watched_sockets() as connected:
        outcome = await post(guarded(LinkPolicy(), resolve=names), url)
    assert isinstance(outcome, Refused)
    assert (connected, names.asked) == ([], [])


@pytest.mark.promise("quiet.egress")
async def test_a_name_that_turns_private_after_the_check_is_connected_where_it_was_judged():
    """DNS rebinding has no second question to answer: the judged address is used."""
    names = Names((PUBLIC,), ("127.0.0.1",))
    with watched_sockets() as connected:
        outcome = await post(
            guarded(LinkPolicy(), resolve=names, limits={"total_s": 0.2}), "https://lists.example.com/u"
        )
    assert isinstance(outcome, NeverConnected)
    assert names.asked == ["lists.example.com"]
    assert {PUBLIC} >= set(connected)


async def test_no_socket_is_made_for_an_address_that_nobody_judged():
    """The last line holds even when the HTTP library above it would go elsewhere."""
    make = egress_module._only_to((PUBLIC,))
    with pytest.raises(OSError, match="not judged"):
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.5", 443)))


async def test_a_name_that_does_not_exist_was_never_connected():
    """Without an address nothing was sent, and a later try is safe."""
    assert NeverConnected("NAME_NOT_FOUND") == await post(
        guarded(resolve=Names()), "https://lists.example.com/u"
    )


async def test_a_refused_connection_was_never_connected():
    """A closed port proves that nothing was sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert NeverConnected("CONNECT_FAILED") == await post(guarded(), f"http://127.0.0.1:{port}/u")


@pytest.mark.parametrize("code", [200, 202, 204, 301, 302, 307, 400, 401, 404, 405, 415, 500, 503])
async def test_a_status_is_an_answer_and_nothing_follows_it(code):
    """Redirects and 401 are answers: nothing is followed, repeated or logged in to."""
    headers = ("Location: http://127.0.0.1:1/internal", 'WWW-Authenticate: Basic realm="x"')
    async with hosts.host(hosts.status(code, *headers)) as host:
        with watched_sockets() as connected:
            outcome = await post(guarded(), f"http://127.0.0.1:{host.port}/u")
    assert Answered(code) == outcome
    assert (len(host.requests), len(connected)) == (1, 1)


@pytest.mark.promise("quiet.context")
async def test_a_request_carries_nothing_about_us(monkeypatch):
    """No cookies, credentials, referrer, proxy or trace headers, even when a trace is being recorded."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with hosts.host(hosts.status(200, "Set-Cookie: who=you; Path=/")) as host:
        egress = guarded()
        with within(Trace(1, 2, is_sampled=True)):
            for _ in range(2):
                await post(egress, f"http://127.0.0.1:{host.port}/u")
    assert len(host.requests) == 2
    for request in host.requests:
        names = [
            line.partition(":")[0].lower() for line in request.split(b"\r\n\r\n")[0].decode().splitlines()[1:]
        ]
        assert names == [
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
            "content-type",
            "content-length",
            "connection",
        ]


async def test_a_signed_path_arrives_as_it_was_written():
    """`//`, `..`, escapes and `+` belong to the sender's signature; only the fragment stays here."""
    target = "/a//b/../c/%2F%2f;p=1?x=a+b%20c&y=%E4&z=~"
    async with hosts.host(hosts.status(200)) as host:
        await post(guarded(), f"http://127.0.0.1:{host.port}{target}#secret")
    assert f"POST {target} HTTP/1.1".encode() == host.only_request.split(b"\r\n")[0]


async def _stall(_request, writer) -> None:
    writer.write(b"HTTP/1.1 2")
    await writer.drain()
    await asyncio.sleep(10)


async def _drip(_request, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        writer.write(f"X-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def _close(_request, _writer) -> None:
    return


async def _garbage(_request, writer) -> None:
    writer.write(b"220 smtp.example.com ESMTP\r\n")


async def _endless_headers(_request, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Padding: " + b"y" * 8000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("behave", [_stall, _drip, _close, _garbage, _endless_headers])
async def test_silence_after_the_request_is_a_lost_answer(behave):
    """Once connected, no answer may mean that the request took effect: it must not be sent again."""
    async with hosts.host(behave) as host:
        outcome = await post(guarded(limits={"total_s": 0.5}), f"http://127.0.0.1:{host.port}/u")
    assert isinstance(outcome, Lost)
    assert len(host.requests) == 1


async def test_a_huge_body_is_cut_off_and_the_status_counts():
    """A gigabyte is announced and sent as fast as it goes; we read our cap and leave."""
    written = 0

    async def flood(_request, writer) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        for _ in range(1024 * 16):
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with hosts.host(flood) as host:
        assert Answered(200) == await post(guarded(), f"http://127.0.0.1:{host.port}/u")
    assert written < 64 * 1024 * 1024


async def test_a_body_that_never_ends_does_not_hide_its_status():
    """The status is the answer; a body that drips past the deadline changes nothing."""

    async def drip_body(_request, writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with hosts.host(drip_body) as host:
        outcome = await post(guarded(limits={"total_s": 0.3}), f"http://127.0.0.1:{host.port}/u")
    assert Answered(200) == outcome


async def test_a_compressed_bomb_is_never_opened():
    """A compressed body is discarded as bytes: it cannot grow in our memory."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with hosts.host(hosts.status(200, "Content-Encoding: gzip", body=bomb)) as host:
        assert Answered(200) == await post(guarded(), f"http://127.0.0.1:{host.port}/u")


async def test_one_host_gets_few_requests_at_once():
    """Ten thousand lists of one provider must not become a flood of it."""
    release, two_wait = asyncio.Event(), asyncio.Event()

    async def wait(_request, writer) -> None:
        if host.at_once == 2:
            two_wait.set()
        await release.wait()
        await hosts.status(200)(_request, writer)

    async with hosts.host(wait) as host:
        egress = guarded(limits={"per_host": 2})
        posts = [asyncio.create_task(post(egress, f"http://127.0.0.1:{host.port}/{n}")) for n in range(6)]
        async with asyncio.timeout(5):
            await two_wait.wait()
        release.set()
        assert [Answered(200)] * 6 == await asyncio.gather(*posts)
    assert host.most_at_once == 2
    assert egress._slots.hosts == {}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("pki"), "lists.example.com")


async def test_tls_keeps_the_name_for_sni_and_host(pki):
    """The connection goes to the judged address while certificate, SNI and Host speak of the name."""
    async with hosts.host(hosts.status(200), pki.server) as host:
        egress = guarded(resolve=Names(("127.0.0.1",)), tls=pki.client)
        outcome = await _post_through_port(egress, host.port, "https://lists.example.com/u")
    assert Answered(200) == outcome
    assert "lists.example.com" in pki.names_asked
    assert "host: lists.example.com\r\n" in host.head


async def test_a_certificate_for_another_name_means_nothing_was_sent(pki):
    """A failed handshake proves that the request never left."""
    async with hosts.host(hosts.status(200), pki.server) as host:
        egress = guarded(resolve=Names(("127.0.0.1",)), tls=pki.client)
        outcome = await _post_through_port(egress, host.port, "https://other.example.com/u")
    assert NeverConnected("TLS_FAILED") == outcome
    assert host.requests == []


async def test_a_certificate_of_an_unknown_authority_means_nothing_was_sent(pki):
    """Only authorities that the machine trusts count."""
    async with hosts.host(hosts.status(200), pki.server) as host:
        egress = guarded(resolve=Names(("127.0.0.1",)))
        outcome = await _post_through_port(egress, host.port, "https://lists.example.com/u")
    assert NeverConnected("TLS_FAILED") == outcome


async def _post_through_port(egress: Egress, port: int, url: str):
    """Send what goes to port 443 of the loopback to a port that a test may listen on."""
    original = aiohappyeyeballs.start_connection

    async def start_connection(addr_infos, **options):
        moved = [(*info[:4], (info[4][0], port if info[4][1] == 443 else info[4][1])) for info in addr_infos]
        return await original(moved, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(aiohappyeyeballs, "start_connection", start_connection)
        return await post(egress, url)
