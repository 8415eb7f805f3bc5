"""How a request enters at an edge, the same for REST, MCP and A2A and free of any web framework.

`Gate.admit` reads the credential, the request id and the trace from the headers; the edge's own rim
(aiohttp middleware, ASGI middleware) calls it and renders what comes out.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanKind

from services.common.context import Call, entered, request_id_from
from services.common.errors import invalid, unauthenticated
from services.common.identity import Caller
from services.common.passports import MAX_CREDENTIAL_CHARS, Credential, HeldPassport, PassportBroker
from services.common.telemetry import get_logger, record_duration
from services.common.tracing import current_trace, parse_traceparent, span, start_trace, within

REQUEST_ID_HEADER: Final = "X-Request-Id"
API_KEY_HEADER: Final = "X-API-Key"
MAIL_CORE: Final = "mail_core"


@dataclass(slots=True)
class Admission:
    """One request at an edge, from its first byte to its last. The rim sets `status` before it ends."""

    call: Call
    route: str
    passport: Callable[[str], Awaitable[HeldPassport]]
    caller: Caller | None = None
    status: int = 0
    reason: str = "OK"

    @property
    def request_id(self) -> str:
        """Id to show to the client: its own when it sent a harmless one."""
        return self.call.request_id

    async def authenticate(self) -> Caller:
        """Establish who is calling, now. Raises AppError UNAUTHENTICATED or UNAVAILABLE."""
        if self.caller is None:
            self.caller = (await self.passport(MAIL_CORE)).caller
        return self.caller


class Gate:
    """Lets requests in at one edge."""

    def __init__(
        self, edge: str, broker: PassportBroker, *, sample_ratio: float, request_timeout_s: float
    ) -> None:
        self._edge = edge
        self._broker = broker
        self._sample_ratio = sample_ratio
        self._timeout_s = request_timeout_s
        self._log = get_logger()

    @contextlib.contextmanager
    def admit(
        self, headers: Mapping[str, str], route: str, *, has_deadline: bool = True
    ) -> Iterator[Admission]:
        """Work for one request. `headers` is case-insensitive; `route` is a pattern, never a raw path.

        Nothing here can fail: a credential that is malformed fails when it is first needed.
        `has_deadline=False` is for streams that stay open.
        """
        started = time.perf_counter()
        trace = parse_traceparent(headers.get("traceparent")) or start_trace(self._sample_ratio)
        admission = self._admission(headers, route, has_deadline=has_deadline)
        with within(trace), entered(admission.call), span(f"{self._edge} {route}", SpanKind.SERVER):
            try:
                yield admission
            finally:
                self._report(admission, time.perf_counter() - started)

    def _admission(self, headers: Mapping[str, str], route: str, *, has_deadline: bool) -> Admission:
        async def passport(audience: str) -> HeldPassport:
            return await self._broker.passport(credential_of(headers), audience)

        async def passport_token(audience: str) -> str:
            return (await passport(audience)).token

        call = Call(
            request_id=request_id_from(headers.get(REQUEST_ID_HEADER)),
            deadline=time.monotonic() + self._timeout_s if has_deadline else None,
            passport_for=passport_token,
        )
        return Admission(call, route, passport)

    def _report(self, admission: Admission, seconds: float) -> None:
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
