"""Ends work with the right to it: what a revoked credential had asked for is cancelled where it stands.

What is revoked while nobody here listens is found when the work begins (`await_right.py`).
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from services.common.errors import AppError
from services.common.telemetry import get_logger
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.operations.auditing import work_revoked
from services.mail_core.storage import Records, Store

_RETRY_S: Final = 1.0

Revocations = asyncio.Queue[tuple[str, float]]
"""What was revoked (`key:…`, `team:…`, …), and when, in unix time."""


class OpenOperations(Protocol):
    """Operations of all teams that are not final."""

    async def hanging_on(self, subject: str, revoked_at: float) -> list[tuple[TeamId, OperationId]]:
        """List those that were asked for by such a right, stated by a passport from before it was revoked."""
        ...


async def stop_operation(records: Records, operation_id: OperationId) -> bool:
    """Cancel an operation whose right is gone; False when it needs no stopping any more."""
    operation = await records.operations.find(operation_id)
    if operation is None or operation.state.is_final or operation.is_cancel_requested:
        return False
    await records.operations.request_cancel(operation_id)
    records.audit.note(work_revoked(operation))
    return True


@dataclass(frozen=True, slots=True)
class StopRevoked:
    """Safe to repeat, and for every replica to do: who is asked to stop already is left alone."""

    open_operations: OpenOperations
    store: Store

    async def __call__(self, subject: str, revoked_at: float) -> int:
        """Cancel what is queued, ask what runs to stop; gives how many. Raises AppError DATABASE_DOWN."""
        count = 0
        for team_id, operation_id in await self.open_operations.hanging_on(subject, revoked_at):
            async with self.store.team(team_id) as records:
                count += await stop_operation(records, operation_id)
        return count

    async def keep_stopping(self, heard: Revocations) -> None:
        """Stop what hangs on each revocation that is heard, until cancelled. What fails is tried again."""
        while True:
            revocation = await heard.get()
            if not await self._has_stopped(*revocation):
                heard.put_nowait(revocation)
                await asyncio.sleep(_RETRY_S)

    async def _has_stopped(self, subject: str, revoked_at: float) -> bool:
        try:
            await self(subject, revoked_at)
        except AppError as error:
            get_logger().warning("revoked_work_not_stopped", reason=error.reason)
            return False
        except Exception:  # noqa: BLE001  whatever it was, what is revoked next must not wait for it
            get_logger().exception("unexpected", action="stop_revoked")
        return True
