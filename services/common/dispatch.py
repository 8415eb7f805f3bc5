"""What happens to every RPC before and after its handler, free of any transport.

The order is: request id and trace, peer, deadline, passport, scope, read-only; then the handler; then
one log line and one measurement. A transport hands in an `Envelope` and gets an answer or an
`AppError`, never anything else.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self

from opentelemetry.trace import SpanKind

from services.common.context import Call, entered, request_id_from
from services.common.errors import AppError, Kind, deadline_exceeded, denied, internal
from services.common.identity import AUDIENCES, Caller, PassportVerifier
from services.common.policy import Policy
from services.common.standing import Standing
from services.common.telemetry import get_logger, record_duration
from services.common.tracing import parse_traceparent, span, within

PASSPORT_KEY: Final = "x-passport"
REQUEST_ID_KEY: Final = "x-request-id"
TRACEPARENT_KEY: Final = "traceparent"
KEPT_BACK_S: Final = 0.02
"""Time that a hop keeps for itself, so that the service that really was slow is the one that says so."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a transport knows about a call besides its request."""

    peer: str
    metadata: Mapping[str, str]
    time_left_s: float | None


class UnaryHandler(Protocol):
    """A method that answers once."""

    async def __call__(self, request: Any, call: Call) -> Any: ...


class StreamHandler(Protocol):
    """A method that answers with a stream."""

    def __call__(self, request: Any, call: Call) -> AsyncIterator[Any]: ...


OnDenied = Callable[[Policy, Call, AppError], Awaitable[None]]
"""Told of every call that was refused for who called, before the caller hears of it."""
_DENIALS: Final = frozenset({Kind.PERMISSION_DENIED, Kind.UNAUTHENTICATED})


class Dispatcher:
    """Admits calls to the handlers of one process."""

    def __init__(
        self, service: str, verifier: PassportVerifier | None, on_denied: OnDenied | None = None
    ) -> None:
        self._on_denied = on_denied
        self._service = service
        self._verifier = verifier
        self._log = get_logger()

    async def unary(self, policy: Policy, handler: UnaryHandler, request: Any, envelope: Envelope) -> Any:
        """Run a method that answers once."""
        with _Running(self, policy, envelope) as running:
            async with asyncio.timeout(running.budget_s):
                call = await running.admit()
                with entered(call):
                    return await handler(request, call)
        await self._note_denial(running)
        raise running.failure

    async def stream(
        self, policy: Policy, handler: StreamHandler, request: Any, envelope: Envelope
    ) -> AsyncIterator[Any]:
        """Run a method that answers with a stream."""
        with _Running(self, policy, envelope) as running, Standing() as standing:
            async with standing.within(running.budget_s):
                call = await running.admit()
                with entered(call), self._watched(call, standing):
                    started_at = time.time()
                    async for answer in handler(request, call):
                        self._check_standing(call, started_at)
                        yield answer
            return
        await self._note_denial(running)
        raise running.failure

    async def _note_denial(self, running: "_Running") -> None:
        if self._on_denied is None or running.failure.kind not in _DENIALS:
            return
        try:
            await self._on_denied(running.policy, running.call, running.failure)
        except Exception:  # noqa: BLE001 - a note that cannot be taken does not change the answer
            self._log.exception("unexpected", action=running.policy.action)

    async def caller_of(self, policy: Policy, metadata: Mapping[str, str]) -> Caller | None:
        """Verify the passport. None for methods that read no passport."""
        if not policy.needs_passport:
            return None
        if self._verifier is None:
            raise internal()
        return await self._verifier.verify(metadata.get(PASSPORT_KEY, ""))

    def _watched(self, call: Call, standing: Standing) -> AbstractContextManager[None]:
        """Let a stream end with the credential that opened it, also while it has nothing to say."""
        if self._verifier is None or call.caller is None:
            return nullcontext()
        return self._verifier.watched(call.caller, standing.lose)

    def _check_standing(self, call: Call, since: float) -> None:
        """A stream that outlives the credential that opened it says nothing more."""
        if self._verifier is not None and call.caller is not None:
            self._verifier.check_standing(call.caller, since)

    def report(self, policy: Policy, call: Call, reason: str, started: float) -> None:
        """Write the one log line and the one measurement of a call."""
        seconds = time.perf_counter() - started
        record_duration(seconds, service=self._service, action=policy.action, reason=reason)
        self._level(call, reason)(
            "rpc",
            action=policy.action,
            peer=call.peer,
            principal=call.caller.log_name if call.caller else "",
            reason=reason,
            ms=round(seconds * 1000, 2),
        )

    def _level(self, call: Call, reason: str) -> Callable[..., object]:
        if reason == "INTERNAL":
            return self._log.warning
        # What a backend asks on its own account, twice a second, is no request of anybody's.
        is_upkeep = reason == "OK" and call.caller is None and call.peer in AUDIENCES
        return self._log.debug if is_upkeep else self._log.info


def check_scope(policy: Policy, caller: Caller) -> None:
    """Raise AppError PERMISSION_DENIED SCOPE_MISSING unless the caller holds one of the scopes."""
    if policy.any_scope and not policy.any_scope & caller.scopes:
        wanted = " or ".join(sorted(policy.any_scope))
        raise denied(
            "SCOPE_MISSING", f"This needs the scope {wanted}.", scope=" ".join(sorted(policy.any_scope))
        )


def _check_read_only(policy: Policy, caller: Caller) -> None:
    if policy.mutates and caller.restrictions.read_only:
        raise denied("READ_ONLY", "This credential is read-only and the call would change something.")


class _Running:
    """One call from arrival to its log line. Swallows every failure and keeps it as an AppError."""

    def __init__(self, dispatcher: Dispatcher, policy: Policy, envelope: Envelope) -> None:
        self._dispatcher = dispatcher
        self.policy = policy
        self._envelope = envelope
        self._stack = ExitStack()
        self._started = time.perf_counter()
        self.failure: AppError = internal()
        left = envelope.time_left_s
        self.budget_s = None if left is None else max(0.0, left - KEPT_BACK_S)
        self.call = Call(
            request_id=request_id_from(envelope.metadata.get(REQUEST_ID_KEY)),
            deadline=None if self.budget_s is None else time.monotonic() + self.budget_s,
            peer=envelope.peer,
        )

    def __enter__(self) -> Self:
        trace = parse_traceparent(self._envelope.metadata.get(TRACEPARENT_KEY))
        self._stack.enter_context(within(trace))
        self._stack.enter_context(entered(self.call))
        self._stack.enter_context(span(self.policy.action, SpanKind.SERVER, peer=self._envelope.peer))
        return self

    async def admit(self) -> Call:
        if self._envelope.peer not in self.policy.callers:
            raise denied("PEER_NOT_ALLOWED", "This service may not call this method.")
        caller = await self._dispatcher.caller_of(self.policy, self._envelope.metadata)
        self.call = replace(self.call, caller=caller)
        if caller is not None:
            check_scope(self.policy, caller)
            _check_read_only(self.policy, caller)
        return self.call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        is_failure = isinstance(error, Exception)
        if is_failure:
            self.failure = self._to_app_error(error)
        # Cancellation and generator closing are the transport's own business and pass through.
        reason = self.failure.reason if is_failure else "OK" if error is None else "CANCELLED"
        self._dispatcher.report(self.policy, self.call, reason, self._started)
        self._stack.__exit__(kind, error, traceback)
        return is_failure

    def _to_app_error(self, error: Exception) -> AppError:
        if isinstance(error, AppError):
            return error
        if isinstance(error, TimeoutError):
            return deadline_exceeded()
        get_logger().exception("unexpected", action=self.policy.action)
        return internal()
