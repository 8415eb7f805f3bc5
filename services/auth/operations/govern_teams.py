"""What an operator does with teams: makes them, puts them on a plan, switches them off and on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from services.auth.domain.paging import Position, page_of, token_after
from services.auth.domain.plans import FREE, checked_plan
from services.auth.domain.team import Team
from services.auth.operations.create_api_key import check_text, team_id_of
from services.auth.ports import Clock, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.identity import team_root


@dataclass(frozen=True, slots=True)
class CreateTeam:
    """Make a team."""

    teams: Teams
    clock: Clock

    async def __call__(self, name: str, plan: str) -> Team:
        """Make it, on the smallest plan unless another is named. Raises NAME_INVALID, PLAN_UNKNOWN."""
        check_text(name, "name", min_chars=1, reason="NAME_INVALID")
        team = Team(str(uuid4()), name, checked_plan(plan or FREE), self.clock())
        event = audit_event("team.created", team_id=team.id, resource=team_root(team.id), plan=team.plan)
        await self.teams.add(team, event)
        return team


@dataclass(frozen=True, slots=True)
class UpdateTeam:
    """Change a plan or the switch. Switching off voids everything derived from the team."""

    teams: Teams
    clock: Clock

    async def __call__(self, team_id: str, *, plan: str | None, disabled: bool | None) -> Team:
        """Change what is not None. Raises AppError PLAN_UNKNOWN, TEAM_NOT_FOUND."""
        async with self.teams.changing(team_id_of(team_id)) as change:
            team = change.team
            if plan is not None:
                team = replace(team, plan=checked_plan(plan))
            if disabled is not None and disabled != (team.disabled_at is not None):
                team = replace(team, disabled_at=self.clock() if disabled else None)
            await change.save_team(team)
            if team.disabled_at is not None and change.team.disabled_at is None:
                await change.revoke(team_root(team.id))
            await change.record(_updated(team))
        return team


def _updated(team: Team) -> AuditEvent:
    is_disabled = team.disabled_at is not None
    root = team_root(team.id)
    return audit_event("team.updated", team_id=team.id, resource=root, plan=team.plan, disabled=is_disabled)


@dataclass(frozen=True, slots=True)
class ListTeams:
    """Oldest first."""

    teams: Teams

    async def __call__(self, page_size: int, page_token: str) -> tuple[Sequence[Team], str]:
        """Give a page and the token of the next. Raises PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID."""
        page = page_of("teams", page_size, page_token)
        found = await self.teams.list(page)
        rows = found[: page.size]
        if len(found) <= page.size or rows[-1].created_at is None:
            return rows, ""
        return rows, token_after("teams", Position(rows[-1].created_at, rows[-1].id))
