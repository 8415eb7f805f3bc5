"""What an operator does about clients that nobody shall use: shut them out, list them, let them in again."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.auth.oauth.domain.blocking import Blocked, addresses_of, read_address
from services.auth.oauth.events import client_resource
from services.auth.oauth.ports import BlockedClients, Grants
from services.auth.operations.govern_grants import client_revoked, every_team
from services.auth.ports import Clock, Teams
from services.common.audit import audit_event
from services.common.errors import not_found


@dataclass(frozen=True, slots=True)
class BlockClient:
    """Shut a client or host out, then end what was allowed to it. Safe to repeat."""

    blocked: BlockedClients
    grants: Grants
    teams: Teams
    clock: Clock

    async def __call__(self, text: str) -> tuple[Blocked, int]:
        """Give what is blocked, and how many grants ended. Raises AppError CLIENT_ADDRESS_INVALID."""
        wanted = Blocked(read_address(text), self.clock())
        event = audit_event("client.blocked", resource=client_resource(wanted.address))
        # First, so that nothing new can be allowed while the teams are gone through.
        await self.blocked.add(wanted, event)
        return wanted, await self._end_all(wanted.address)

    async def _end_all(self, address: str) -> int:
        count = 0
        async for team in every_team(self.teams):
            for client_id in await self.grants.document_clients(team.id, self.clock()):
                if address in addresses_of(client_id):
                    event = client_revoked(team.id, client_id)
                    count += await self.grants.revoke_client(team.id, client_id, self.clock(), event) or 0
        return count


@dataclass(frozen=True, slots=True)
class UnblockClient:
    """Let a client or host in again. What was allowed to it stays ended."""

    blocked: BlockedClients

    async def __call__(self, text: str) -> None:
        """Unblock. Raises AppError INVALID_ARGUMENT CLIENT_ADDRESS_INVALID; NOT_FOUND CLIENT_NOT_BLOCKED."""
        address = read_address(text)
        event = audit_event("client.unblocked", resource=client_resource(address))
        if not await self.blocked.remove(address, event):
            raise not_found("CLIENT_NOT_BLOCKED", "This client or host is not blocked.")


@dataclass(frozen=True, slots=True)
class ListBlockedClients:
    """All that is shut out, by name."""

    blocked: BlockedClients

    async def __call__(self) -> Sequence[Blocked]:
        """Give them."""
        return await self.blocked.list()
