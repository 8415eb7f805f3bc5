"""Lets work begin only by a right that still stands: it may have waited for longer than any passport lives.

The stream of revocations tells who listens. A core that was stopped, or cut off from auth, heard nothing;
so auth is asked once for each piece of work, when it begins.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from services.common.errors import AppError
from services.common.telemetry import get_logger
from services.mail_core.domain.records import Operation

RETRY_S: Final = 1.0


class Rights(Protocol):
    """Knows what became of rights."""

    async def stands(self, roots: Collection[str], issued_at: datetime) -> bool:
        """Whether nothing that a right hangs on was revoked since. Raises AppError when that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class AwaitRight:
    """Ask until there is an answer. Without one work neither begins nor fails: it waits in its place."""

    rights: Rights
    retry_s: float = RETRY_S

    async def __call__(self, operation: Operation) -> bool:
        """Say whether the right to this operation stands."""
        issued_at = operation.right_issued_at or operation.created_at
        while True:
            try:
                return await self.rights.stands(operation.roots, issued_at)
            except AppError as error:
                get_logger().warning("right_not_known", operation_id=operation.id, reason=error.reason)
            await asyncio.sleep(self.retry_s)
