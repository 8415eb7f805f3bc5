"""What a team, or an operator for it, does with what its people allowed to OAuth clients."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.auth.domain.ids import as_uuid
from services.auth.domain.paging import MAX_PAGE_SIZE, Page, Position, page_of, token_after
from services.auth.domain.team import Team
from services.auth.oauth.domain.clients import is_registered_id
from services.auth.oauth.domain.grants import Grant, HeldClient
from services.auth.oauth.events import client_resource
from services.auth.oauth.ports import Clients, Grants
from services.auth.ports import Clock, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.errors import AppError, not_found
from services.common.identity import Caller

MAX_CLIENTS: Final = 500


def may_govern(caller: Caller | None) -> bool:
    """Whether grants are within a caller's reach: they are the whole team's, so who is narrowed has none."""
    return caller is None or not caller.restrictions.is_within_team


@dataclass(frozen=True, slots=True)
class ListGrants:
    """Newest first, ended ones too until upkeep removes them."""

    grants: Grants
    teams: Teams

    async def __call__(
        self, team_id: str, page_size: int, page_token: str, caller: Caller | None = None
    ) -> tuple[Sequence[Grant], str]:
        """Give a page and the token of the next, for a caller or for an operator (None).

        Raises AppError NOT_FOUND TEAM_NOT_FOUND; INVALID_ARGUMENT PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID.
        """
        page = page_of("grants", page_size, page_token)
        await self.teams.get(team_id)
        if not may_govern(caller):
            return (), ""
        found = await self.grants.list(team_id, page)
        rows = found[: page.size]
        more = len(found) > page.size
        return rows, token_after("grants", Position(rows[-1].created_at, rows[-1].id)) if more else ""


@dataclass(frozen=True, slots=True)
class RevokeGrant:
    """End a grant with every token of it. Safe to repeat."""

    grants: Grants
    teams: Teams
    clock: Clock

    async def __call__(self, team_id: str, grant_id: str, caller: Caller | None = None) -> Grant:
        """Revoke. Raises AppError NOT_FOUND TEAM_NOT_FOUND, GRANT_NOT_FOUND."""
        await self.teams.get(team_id)
        now, wanted = self.clock(), as_uuid(grant_id)
        if wanted is None or not may_govern(caller):
            raise grant_not_found()
        event = audit_event("grant.revoked", team_id=team_id, resource=f"grant:{wanted}")
        grant = await self.grants.revoke(team_id, wanted, now, event)
        if grant is None:
            raise grant_not_found()
        return replace(grant, revoked_at=now) if grant.counts(now) else grant


@dataclass(frozen=True, slots=True)
class ListClients:
    """The clients that hold something of a team now."""

    grants: Grants
    teams: Teams
    clock: Clock

    async def __call__(self, team_id: str, caller: Caller | None = None) -> tuple[Sequence[HeldClient], bool]:
        """Give at most 500 by name, and whether there are more. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        await self.teams.get(team_id)
        if not may_govern(caller):
            return (), False
        found = await self.grants.clients(team_id, self.clock(), MAX_CLIENTS + 1)
        return found[:MAX_CLIENTS], len(found) > MAX_CLIENTS


@dataclass(frozen=True, slots=True)
class RevokeClient:
    """End all that was allowed to a client. Safe to repeat."""

    grants: Grants
    clients: Clients
    teams: Teams
    clock: Clock

    async def __call__(self, team_id: str, client_id: str, caller: Caller | None = None) -> int:
        """Revoke what one team gave; gives how many grants ended.

        Raises AppError NOT_FOUND TEAM_NOT_FOUND, CLIENT_NOT_FOUND.
        """
        await self.teams.get(team_id)
        count = await self._of_team(team_id, client_id) if may_govern(caller) else None
        if count is None:
            raise client_not_found()
        return count

    async def everywhere(self, client_id: str) -> int:
        """Revoke what any team gave, and forget the registration; gives how many grants ended.

        Raises AppError NOT_FOUND CLIENT_NOT_FOUND.
        """
        gone = audit_event("client.removed", resource=client_resource(client_id))
        # First, so that nobody can be asked to allow it something while the teams are gone through.
        was_known = is_registered_id(client_id) and await self.clients.remove(client_id, gone)
        counts = [await self._of_team(team.id, client_id) async for team in every_team(self.teams)]
        if not was_known and all(count is None for count in counts):
            raise client_not_found()
        return sum(count or 0 for count in counts)

    async def _of_team(self, team_id: str, client_id: str) -> int | None:
        if not client_id.isprintable():
            return None  # no client is called so, and PostgreSQL takes no NUL
        event = client_revoked(team_id, client_id)
        return await self.grants.revoke_client(team_id, client_id, self.clock(), event)


async def every_team(teams: Teams) -> AsyncIterator[Team]:
    """Go through all teams, oldest first, page by page."""
    after = None
    while True:
        found = await teams.list(Page(MAX_PAGE_SIZE, after))
        for team in found[:MAX_PAGE_SIZE]:
            yield team
        last = found[MAX_PAGE_SIZE - 1] if len(found) > MAX_PAGE_SIZE else None
        if last is None or last.created_at is None:
            return
        after = Position(last.created_at, last.id)


def client_revoked(team_id: str, client_id: str) -> Callable[[int], AuditEvent]:
    """Make the event of so many grants of a client that a team lost."""

    def event(count: int) -> AuditEvent:
        resource = client_resource(client_id)
        return audit_event("client.revoked", team_id=team_id, resource=resource, count=count)

    return event


def grant_not_found() -> AppError:
    """Make the NOT_FOUND of a grant that is absent, or of another team: deliberately not told apart."""
    return not_found("GRANT_NOT_FOUND", "There is no such grant.")


def client_not_found() -> AppError:
    """Make the NOT_FOUND of a client that never held a grant of the team."""
    return not_found("CLIENT_NOT_FOUND", "There is no such client.")
