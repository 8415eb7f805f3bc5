"""What an edge tells the audit log: requests refused at its rim, and limits that were hit.

Recording never waits and never fails: events are counted together, sent in batches, and when auth cannot be
reached for long, dropped. How many were dropped is recorded as soon as that is possible again.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from protos.auth.v1 import auth_pb2
from services.common.audit import DENIED, FACTS, AuditEvent, Folding, audit_event
from services.common.audit_proto import team_event_to_proto
from services.common.background import in_background
from services.common.context import Call, current_call
from services.common.errors import AppError
from services.common.identity import Caller
from services.common.limits import Limit
from services.common.telemetry import get_logger

SendEvents = Callable[[auth_pb2.AppendEventsRequest], Awaitable[auth_pb2.AppendEventsResponse]]
"""`AuditService.AppendEvents`."""

_MAX_WAITING: Final = 5_000
_BATCH: Final = 200
_EVERY_S: Final = 1.0
_LAST_TRY_S: Final = 2.0


class AuditRecorder:
    """Collects the events of one edge and brings them to auth."""

    def __init__(self, edge: str, send: SendEvents, *, max_waiting: int = _MAX_WAITING) -> None:
        self._edge = edge
        self._send = send
        self._max_waiting = max_waiting
        self._waiting: deque[AuditEvent] = deque()
        self._folding = Folding()
        self.dropped_count = 0
        """Events that had to be dropped and that nobody has been told of yet."""

    def note(self, event: AuditEvent) -> None:
        """Record an event, or count it when an equal one was recorded within the minute."""
        first = self._folding.add(event)
        if first is not None:
            self._keep(first)

    def refused(self, call: Call, caller: Caller | None, route: str, reason: str) -> None:
        """Record a request that was answered with 401 or 403."""
        shown = route if FACTS["route"].fullmatch(route) else None
        self.note(
            audit_event(
                "request.refused", outcome=DENIED, reason=reason, call=self._here(call, caller), route=shown
            )
        )

    def limit_hit(self, caller: Caller | None, limit: Limit) -> None:
        """Record that a limit was hit. Whose address it was is not said."""
        call = current_call() or Call(request_id="")
        self.note(
            audit_event(
                "limit.hit",
                outcome=DENIED,
                reason="RATE_LIMIT_EXCEEDED",
                call=self._here(call, caller),
                limit=limit.name,
            )
        )

    @contextlib.asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Send until the block ends, then once more what is left."""
        try:
            async with in_background(self._keep_sending()):
                yield
        finally:
            with contextlib.suppress(AppError, TimeoutError):
                async with asyncio.timeout(_LAST_TRY_S):
                    await self.flush(everything=True)

    async def flush(self, *, everything: bool = False) -> None:
        """Send what waits. Raises AppError when auth cannot be reached; then all of it waits on."""
        for event in self._folding.due(None if everything else datetime.now(UTC)):
            self._keep(event)
        while self._waiting or self.dropped_count:
            dropped, batch = self.dropped_count, [*self._waiting][:_BATCH]
            await self._send(_request([*batch, *self._confession(dropped)]))
            for _ in batch:
                self._waiting.popleft()
            self.dropped_count -= dropped

    async def _keep_sending(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.flush()
            except AppError as error:
                get_logger().warning(
                    "audit_not_sent",
                    reason=error.reason,
                    waiting=len(self._waiting),
                    dropped=self.dropped_count,
                )
                await asyncio.sleep(_EVERY_S)
            except Exception:  # noqa: BLE001 - recording goes on whatever one round met
                get_logger().exception("unexpected", action="audit_recorder")

    def _keep(self, event: AuditEvent) -> None:
        if len(self._waiting) < self._max_waiting:
            self._waiting.append(event)
        else:
            self.dropped_count += 1

    def _confession(self, dropped: int) -> list[AuditEvent]:
        if not dropped:
            return []
        call = Call(request_id="", peer=self._edge)
        return [audit_event("audit.dropped", call=call, dropped_count=dropped)]

    def _here(self, call: Call, caller: Caller | None) -> Call:
        return replace(call, caller=caller, peer=self._edge)


def _request(events: list[AuditEvent]) -> auth_pb2.AppendEventsRequest:
    return auth_pb2.AppendEventsRequest(events=[team_event_to_proto(event) for event in events])
