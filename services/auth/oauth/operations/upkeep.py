"""Takes away what ended by itself: codes, refresh tokens, sign-ins, grants, unused clients, revocations.

Every replica does it now and then. The database lets one through at a time, and whoever comes second finds
nothing left.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.auth.oauth.ports import Ended
from services.common.background import in_background, regularly
from services.common.telemetry import get_logger

EVERY_S: Final = 600.0
BATCH: Final = 1_000
MAX_BATCHES: Final = 100


@dataclass(frozen=True, slots=True)
class RemoveEnded:
    """Remove in batches, each a transaction of its own, so that nobody waits long for a row."""

    ended: Ended
    batch: int = BATCH
    max_batches: int = MAX_BATCHES

    async def __call__(self) -> Mapping[str, int]:
        """Remove what there is, at most `max_batches` of each kind; gives how many rows of each kind went."""
        total: Counter[str] = Counter()
        for _ in range(self.max_batches):
            removed = await self.ended.remove(self.batch)
            total.update(removed)
            if max(removed.values(), default=0) < self.batch:
                break
        return {kind: count for kind, count in total.items() if count}


@contextlib.asynccontextmanager
async def removing_ended(remove: RemoveEnded, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Keep the tables small until the block ends."""

    async def remove_once() -> None:
        if removed := await remove():
            get_logger().info("oauth_ended_removed", **removed)

    async with in_background(regularly(every_s, "oauth_upkeep", remove_once)):
        yield
