"""Teams: the tenants that everything belongs to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.auth.domain.plans import FREE, PLANS
from services.auth.domain.refusals import team_disabled
from services.common.errors import AppError, not_found
from services.common.identity import Limits

DEFAULT_TEAM_ID: Final = "b5e7a0c2-61f4-4d3b-9a58-0c7d2e9f1a46"
"""The same in every installation: made by the first migration, owner of all keys of the environment."""


@dataclass(frozen=True, slots=True)
class Team:
    """A tenant. Nothing of it works while `disabled_at` is set. Times are aware."""

    id: str
    name: str
    plan: str = FREE
    created_at: datetime | None = None
    disabled_at: datetime | None = None

    @property
    def limits(self) -> Limits:
        """What the plan allows. A plan that this version does not know allows what the smallest does."""
        return PLANS.get(self.plan, PLANS[FREE])

    def check(self) -> None:
        """Raise UNAUTHENTICATED TEAM_DISABLED while the team is switched off."""
        if self.disabled_at is not None:
            raise team_disabled()


def team_not_found() -> AppError:
    """Make the NOT_FOUND of a team that is absent."""
    return not_found("TEAM_NOT_FOUND", "There is no such team.")
