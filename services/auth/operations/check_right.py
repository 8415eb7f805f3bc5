"""Tells whether a right still stands that somebody used some time ago, as when they asked for work."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.auth.domain.revocation import RIGHTS_REMEMBERED, RightState
from services.auth.ports import Clock, Revocations
from services.common.revocations import RACE_S

_RACE: Final = timedelta(seconds=RACE_S)


@dataclass(frozen=True, slots=True)
class CheckRight:
    """Look into the log of revocations: a passport from before one of its roots was revoked is void.

    Further back than the log reaches nobody can know, and the answer is no.
    """

    revocations: Revocations
    clock: Clock

    async def __call__(self, roots: Collection[str], issued_at: datetime) -> RightState:
        """Say what became of a right that a passport of that time stated."""
        if issued_at < self.clock() - RIGHTS_REMEMBERED:
            return RightState.TOO_OLD
        is_revoked = await self.revocations.has_any(roots, issued_at - _RACE)
        return RightState.REVOKED if is_revoked else RightState.STANDS
