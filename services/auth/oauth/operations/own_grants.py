"""What one person allowed, for this person: to look at, and to take back."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.auth.domain.ids import as_uuid
from services.auth.domain.paging import MAX_PAGE_SIZE, Page
from services.auth.oauth import events
from services.auth.oauth.domain.grants import Grant, Person
from services.auth.oauth.ports import Clock, Grants


@dataclass(frozen=True, slots=True)
class OwnGrants:
    """The grants that the signed-in person gave, by whatever sign-in."""

    grants: Grants
    clock: Clock

    async def standing(self, person: Person) -> Sequence[Grant]:
        """Give those that still count, newest first, among the newest 200."""
        now = self.clock()
        found = await self.grants.list(person.team_id, Page(MAX_PAGE_SIZE), person.principal)
        return [grant for grant in found if grant.counts(now)]

    async def take_back(self, person: Person, grant_id: str) -> bool:
        """End one. False when this person gave no such grant, or it ended before."""
        now, wanted = self.clock(), as_uuid(grant_id)
        grant = await self.grants.find(person.team_id, wanted, now) if wanted else None
        if grant is None or grant.principal != person.principal:
            return False
        event = events.revoked(grant.team_id, person.principal, grant.root)
        return await self.grants.revoke(grant.team_id, grant.id, now, event) is not None
