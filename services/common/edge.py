"""How a request enters at an edge, the same for REST, MCP and A2A and free of any web framework.

`Gate.admit` reads the credential, the request id and the trace from the headers; the edge's own rim
(aiohttp middleware, ASGI middleware) calls it, lets it count the request and renders what comes out.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.trace import SpanKind

from services.common.client_address import ClientAddresses, Peer, site_of
from services.common.context import Call, entered, request_id_from
from services.common.errors import AppError, Kind, invalid, unauthenticated
from services.common.identity import Caller
from services.common.limits import Verdict, headers_of
from services.common.limits_edge import EdgeLimiter
from services.common.passports import MAX_CREDENTIAL_CHARS, Credential, HeldPassport, PassportBroker
from services.common.standing import Standing
from services.common.telemetry import get_logger, record_duration
from services.common.tracing import current_trace, parse_traceparent, span, start_trace, within

REQUEST_ID_HEADER: Final = "X-Request-Id"
API_KEY_HEADER: Final = "X-API-Key"
MAIL_CORE: Final = "mail_core"
REFUSED_STATUSES: Final = frozenset({401, 403})
_BAD_CREDENTIAL: Final = frozenset({Kind.UNAUTHENTICATED, Kind.INVALID_ARGUMENT})


class Headers(dict[str, str]):
    """Headers of a request, found whatever their case.

    One that came twice holds both values (RFC 9110 §5.3): as a credential it is none, at every edge.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            key = name.lower()
            self[key] = f"{self[key]}, {value}" if key in self else value

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value of a header."""
        return super().get(key.lower(), default)


Watched = Callable[[frozenset[str], Callable[[], None]], AbstractContextManager[None]]
"""Calls back when one of some roots is revoked while a block runs."""


@dataclass(slots=True, kw_only=True)
class Admission:
    """One request at an edge, from its first byte to its last. The rim sets `status` before it ends.

    `is_familiar` says whether the credential was good before; `verdict` is how it stands with its limits;
    `watched` tells when something that the caller's right hangs on is revoked.
    """

    call: Call
    route: str
    passport: Callable[[str], Awaitable[HeldPassport]]
    is_familiar: Callable[[], bool]
    watched: Watched
    limiter: EdgeLimiter
    client_address: str
    caller: Caller | None = None
    verdict: Verdict | None = None
    status: int = 0
    reason: str = "OK"
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What is let go of when the request ends."""

    @property
    def request_id(self) -> str:
        """Id to show to the client: its own when it sent a harmless one."""
        return self.call.request_id

    async def authenticate(self) -> Caller:
        """Establish who is calling, now, and count the request against the caller's limits, once.

        Raises AppError UNAUTHENTICATED, UNAVAILABLE, or RESOURCE_EXHAUSTED.
        """
        if self.caller is None:
            caller = await self._identified()
            await self._stand(await self.limiter.count(caller))
            self.caller = caller
        return self.caller

    async def count_openly(self) -> None:
        """Count a request that needs no credential. Raises AppError RESOURCE_EXHAUSTED."""
        await self._stand(await self.limiter.count_address(site_of(self.client_address)))

    def hold_stream(self) -> None:
        """Count this request as an open stream until it ends. Raises AppError RESOURCE_EXHAUSTED."""
        if self.caller is None:
            raise RuntimeError("a stream is opened by a caller")
        self.held.callback(self.limiter.open_stream(self.caller))

    @contextlib.asynccontextmanager
    async def permitted(self) -> AsyncIterator[None]:
        """Let what is inside wait for as long as the caller's right stands.

        For what waits here; backends see to what waits for them. Raises AppError UNAUTHENTICATED.
        """
        caller = await self.authenticate()
        with Standing() as standing:
            async with standing.within(None):
                with self.watched(caller.roots, standing.lose):
                    await self.passport(MAIL_CORE)  # asked now, lest it was revoked before we listened
                    yield

    def limit_headers(self) -> dict[str, str]:
        """Headers that say how the caller stands; none when nothing was counted."""
        return headers_of(self.verdict) if self.verdict else {}

    async def _identified(self) -> Caller:
        site = site_of(self.client_address)
        try:
            if not self.is_familiar():
                await self._stand(await self.limiter.check_failures(site), shown=False)
            return (await self.passport(MAIL_CORE)).caller
        except AppError as error:
            if error.kind in _BAD_CREDENTIAL:
                await self._stand(await self.limiter.count_failure(site))
            raise

    async def _stand(self, verdict: Verdict, *, shown: bool = True) -> None:
        if shown or verdict.refused is not None:
            self.verdict = verdict
        verdict.raise_when_refused()


OnRefused = Callable[[Call, Caller | None, str, str], None]
"""Told of requests that were answered with 401 or 403: call, caller, route, reason. It must not wait."""


class Gate:
    """Lets requests in at one edge."""

    def __init__(
        self,
        edge: str,
        broker: PassportBroker,
        limiter: EdgeLimiter,
        addresses: ClientAddresses,
        *,
        sample_ratio: float,
        request_timeout_s: float,
        on_refused: OnRefused | None = None,
    ) -> None:
        self._on_refused = on_refused
        self._edge = edge
        self._broker = broker
        self._limiter = limiter
        self._addresses = addresses
        self._sample_ratio = sample_ratio
        self._timeout_s = request_timeout_s
        self._log = get_logger()

    @contextlib.contextmanager
    def admit(
        self, headers: Mapping[str, str], route: str, peer: Peer, *, has_deadline: bool = True
    ) -> Iterator[Admission]:
        """Work for one request. `headers` is case-insensitive; `route` is a pattern, never a raw path.

        Nothing here can fail: a credential that is malformed fails when it is first needed.
        `has_deadline=False` is for streams that stay open.
        """
        started = time.perf_counter()
        trace = parse_traceparent(headers.get("traceparent")) or start_trace(self._sample_ratio)
        admission = self._admission(headers, route, peer, has_deadline=has_deadline)
        with within(trace), entered(admission.call), span(f"{self._edge} {route}", SpanKind.SERVER):
            try:
                with admission.held:
                    yield admission
            finally:
                self._report(admission, time.perf_counter() - started)

    def _admission(
        self, headers: Mapping[str, str], route: str, peer: Peer, *, has_deadline: bool
    ) -> Admission:
        async def passport(audience: str) -> HeldPassport:
            return await self._broker.passport(credential_of(headers), audience)

        async def passport_token(audience: str) -> str:
            return (await passport(audience)).token

        def forget(audience: str, token: str) -> None:
            if (credential := credential_of(headers)) is not None:
                self._broker.forget(credential, audience, token)

        def is_familiar() -> bool:
            credential = credential_of(headers)
            return credential is not None and self._broker.has_accepted(credential, MAIL_CORE)

        call = Call(
            request_id=request_id_from(headers.get(REQUEST_ID_HEADER)),
            deadline=time.monotonic() + self._timeout_s if has_deadline else None,
            passport_for=passport_token,
            on_passport_refused=forget,
        )
        return Admission(
            call=call,
            route=route,
            passport=passport,
            is_familiar=is_familiar,
            watched=self._broker.watched,
            limiter=self._limiter,
            client_address=self._addresses.of(peer),
        )

    def _report(self, admission: Admission, seconds: float) -> None:
        if self._on_refused is not None and admission.status in REFUSED_STATUSES:
            self._on_refused(admission.call, admission.caller, admission.route, admission.reason)
        record_duration(seconds, service=self._edge, action=admission.route, reason=admission.reason)
        trace = current_trace()
        self._log.info(
            "request",
            route=admission.route,
            status=admission.status,
            reason=admission.reason,
            principal=admission.caller.log_name if admission.caller else "",
            sampled=bool(trace and trace.is_sampled),
            ms=round(seconds * 1000, 2),
        )


def credential_of(headers: Mapping[str, str]) -> Credential | None:
    """Find the one credential of a request: `X-API-Key`, or `Authorization: Bearer` (RFC 6750 §2.1).

    Raises AppError: CREDENTIAL_AMBIGUOUS when both are there, CREDENTIAL_INVALID when it is malformed.
    """
    api_key, authorization = headers.get(API_KEY_HEADER), headers.get("Authorization")
    if api_key and authorization:
        raise invalid("CREDENTIAL_AMBIGUOUS", "Send either X-API-Key or Authorization, not both.")
    if api_key:
        return Credential("api_key", _checked(api_key))
    if not authorization:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("CREDENTIAL_INVALID", "Authorization must be Bearer and a token.")
    return Credential("bearer", _checked(token.strip()))


def _checked(secret: str) -> str:
    if (
        len(secret) > MAX_CREDENTIAL_CHARS
        or not secret.isascii()
        or not secret.isprintable()
        or " " in secret
    ):
        raise unauthenticated("CREDENTIAL_INVALID", "The credential cannot be accepted.")
    return secret
