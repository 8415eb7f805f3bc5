"""Takes a key back, with everything derived from it."""

from dataclasses import dataclass, replace

from services.auth.domain.api_key import ApiKey
from services.auth.domain.key_rules import check_admin_remains
from services.auth.operations.team_caller import end_of_caller, key_of_caller
from services.auth.ports import Clock, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.identity import Caller


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """Revoke softly: the row stays as history. Safe to repeat."""

    teams: Teams
    clock: Clock

    async def __call__(
        self, team_id: str, key_id: str, caller: Caller | None = None, *, force: bool = False
    ) -> ApiKey:
        """Revoke, for a caller or for an operator (None).

        Raises AppError NOT_FOUND KEY_NOT_FOUND; FAILED_PRECONDITION LAST_ADMIN_KEY unless `force`.
        """
        now = self.clock()
        async with self.teams.changing(team_id) as change:
            if caller is not None:
                await end_of_caller(change, caller, now)
            key = await key_of_caller(change, caller, key_id)
            if key.revoked_at is not None:
                return key
            if not force:
                check_admin_remains(key, await change.working_keys(now))
            revoked = replace(key, revoked_at=now)
            await change.save_key(revoked)
            await change.revoke(key.root)
            await change.record(_revoked(key, forced=force))
        return revoked


def _revoked(key: ApiKey, *, forced: bool) -> AuditEvent:
    return audit_event(
        "key.revoked", team_id=key.team_id, resource=key.root, key_hint=key.hint, forced=forced
    )
