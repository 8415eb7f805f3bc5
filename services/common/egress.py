"""The one guarded way out to hosts that a mail or a customer named.

A name is resolved once, every address of it is judged, and the connection goes to an address that
was judged. Nothing about the caller leaves with the request: no cookies, credentials, referrer,
proxy or trace headers. Redirects are answers, not orders. What became of a request is told so
exactly that the caller knows whether a second try could repeat an effect.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from services.common.link_safety import Link, LinkPolicy, LinkProblem, read_link
from services.common.telemetry import span

USER_AGENT: Final = "Mailwarden/1 (unsubscribe agent acting for the recipient)"

Resolve = Callable[[str], Awaitable[tuple[str, ...]]]
"""Gives all addresses of a host name. Raises OSError when there are none."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not tried, because it would not be safe. Nothing left this machine but perhaps a DNS question."""

    reason: str


@dataclass(frozen=True, slots=True)
class NeverConnected:
    """No connection came about, so nothing was sent. Trying again cannot repeat an effect."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The host answered with this HTTP status."""

    status: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The host answered a GET. `is_whole` is false when the body was longer than we read."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection was made and no answer came: the request may have taken effect."""

    reason: str


EgressOutcome = Refused | NeverConnected | Answered | Lost


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """What one hostile host can cost us."""

    total_s: float = 20.0
    connect_s: float = 8.0
    max_body_bytes: int = 64 * 1024
    max_header_bytes: int = 8190
    max_headers: int = 64
    per_host: int = 2
    overall: int = 32
    addresses: int = 4


async def resolve_by_system(host: str) -> tuple[str, ...]:
    """Ask the system's resolver, in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(slots=True)
class _Progress:
    is_connected: bool = False
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class _Sending:
    method: str
    accept: str
    content_type: str = ""
    body: bytes | None = None


@dataclass(slots=True)
class _Slots:
    """Bounds how many requests are under way, to one host and overall."""

    per_host: int
    overall: asyncio.Semaphore
    hosts: dict[str, tuple[asyncio.Semaphore, int]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def taken(self, host: str) -> AsyncIterator[None]:
        slot, users = self.hosts.get(host, (asyncio.Semaphore(self.per_host), 0))
        self.hosts[host] = (slot, users + 1)
        try:
            async with slot, self.overall:
                yield
        finally:
            slot, users = self.hosts.pop(host)
            if users > 1:
                self.hosts[host] = (slot, users - 1)


class _Pinned(AbstractResolver):
    """Answers with the addresses that were judged, whatever the DNS says by now."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=_family(address),
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return


class Egress:
    """Sends one request to a host that we do not trust. Safe to share; keeps nothing between requests."""

    def __init__(
        self,
        *,
        policy: LinkPolicy = LinkPolicy(),  # noqa: B008  frozen, and the safe default
        limits: EgressLimits = EgressLimits(),
        resolve: Resolve = resolve_by_system,
        tls: ssl.SSLContext | None = None,
        user_agent: str = USER_AGENT,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()
        self._user_agent = user_agent
        self._slots = _Slots(limits.per_host, asyncio.Semaphore(limits.overall))

    async def post(self, url: str, body: bytes, content_type: str) -> EgressOutcome:
        """POST once to an absolute URL, which is sent as it is written, without its fragment.

        Never raises for what the host or the URL does; cancellation passes through.
        """
        with span("egress.post") as recording:
            sending = _Sending("POST", "*/*", content_type, body)
            outcome = await self._send(url, sending, _Progress())
            recording.set_attribute("egress.outcome", type(outcome).__name__)
            recording.set_attribute("http.response.status_code", getattr(outcome, "status", 0))
            return outcome

    async def get(self, url: str, accept: str) -> Fetched | Refused | NeverConnected | Lost:
        """GET once from an absolute URL and keep at most `max_body_bytes` of what it says.

        Never raises for what the host or the URL does; cancellation passes through.
        """
        with span("egress.get") as recording:
            progress = _Progress()
            outcome = await self._send(url, _Sending("GET", accept), progress)
            recording.set_attribute("egress.outcome", type(outcome).__name__)
            if not isinstance(outcome, Answered):
                return outcome
            return Fetched(outcome.status, progress.content_type, progress.body, progress.is_whole)

    async def _send(self, url: str, sending: _Sending, progress: _Progress) -> EgressOutcome:
        link = read_link(url, self._policy)
        if isinstance(link, LinkProblem):
            return Refused(link.value)
        try:
            async with asyncio.timeout(self._limits.total_s), self._slots.taken(link.host):
                return await self._deliver(link, sending, progress)
        except TimeoutError:
            return _ended(progress, "TIMED_OUT")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _ended(progress, _reason(error))

    async def _deliver(self, link: Link, sending: _Sending, progress: _Progress) -> EgressOutcome:
        addresses = await self._addresses(link)
        if not addresses:
            return NeverConnected("NAME_NOT_FOUND")
        # One address that is not public spoils the lot: somebody chose it to be there.
        if not all(self._policy.permits(address) for address in addresses):
            return Refused(LinkProblem.HOST_NOT_PUBLIC.value)
        await self._exchange(_as_written(link), addresses[: self._limits.addresses], sending, progress)
        return _ended(progress, "NO_ANSWER")

    async def _addresses(self, link: Link) -> tuple[str, ...]:
        if link.address is not None:
            return (str(link.address),)
        try:
            return await self._resolve(link.host)
        except OSError:
            return ()

    async def _exchange(
        self, url: yarl.URL, addresses: tuple[str, ...], sending: _Sending, progress: _Progress
    ) -> None:
        headers = {
            "User-Agent": self._user_agent,
            "Accept": sending.accept,
            # A compressed answer could be a bomb; we would not open it anyway.
            "Accept-Encoding": "identity",
        }
        if sending.content_type:
            headers["Content-Type"] = sending.content_type
        async with (
            self._session(addresses, progress) as session,
            session.request(
                sending.method, url, data=sending.body, headers=headers, allow_redirects=False
            ) as response,
        ):
            progress.status = response.status
            progress.content_type = response.headers.get("Content-Type", "")
            await self._read(response, progress, keep=sending.method == "GET")

    def _session(self, addresses: tuple[str, ...], progress: _Progress) -> aiohttp.ClientSession:
        # A session for each request: there is nothing that one tenant's request could leave to another's.
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses),
            use_dns_cache=False,
            force_close=True,
            ssl=self._tls,
            socket_factory=_only_to(addresses),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
            trace_configs=[_noting_connection(progress)],
            auto_decompress=False,
            trust_env=False,
            max_line_size=self._limits.max_header_bytes,
            max_field_size=self._limits.max_header_bytes,
            max_headers=self._limits.max_headers,
        )

    async def _read(self, response: aiohttp.ClientResponse, progress: _Progress, *, keep: bool) -> None:
        """Read some of the body, so that a well-behaved host can finish; of a POST's answer keep none."""
        left = self._limits.max_body_bytes
        while left > 0 and (chunk := await response.content.read(min(left, 16 * 1024))):
            left -= len(chunk)
            progress.body += chunk if keep else b""
        progress.is_whole = left > 0


def _as_written(link: Link) -> yarl.URL:
    """Hand the link to the HTTP library without letting it tidy up a path that the sender has signed.

    Raises ValueError when the library reads another host or port out of it than was judged.
    """
    url = yarl.URL(link.url, encoded=True)
    if (url.raw_host, url.port, url.scheme) != (link.host, link.port, link.scheme):
        raise ValueError("two readings of one link")
    return url


def _ended(progress: _Progress, reason: str) -> EgressOutcome:
    # A status that arrived is the answer, even when the body after it broke off.
    if progress.status is not None:
        return Answered(progress.status)
    return Lost(reason) if progress.is_connected else NeverConnected(reason)


def _reason(error: Exception) -> str:
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "TLS_FAILED"
    return "CONNECT_FAILED" if isinstance(error, aiohttp.ClientConnectorError) else "CONNECTION_BROKEN"


def _noting_connection(progress: _Progress) -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def connected(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: Any) -> None:
        # From here on bytes may leave, so silence no longer proves that nothing happened.
        progress.is_connected = True

    trace.on_connection_create_end.append(connected)
    return trace


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _only_to(addresses: tuple[str, ...]) -> Callable[[Any], socket.socket]:
    judged = frozenset(addresses)

    def make(address_info: Any) -> socket.socket:
        family, kind, protocol, _, address = address_info
        # The last line: whatever the HTTP library does above, no socket goes to an address nobody judged.
        if address[0] not in judged:
            raise OSError("address was not judged")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make
