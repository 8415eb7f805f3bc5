"""Who governs a team's keys, looked at while the team is locked."""

from datetime import datetime

from services.auth.domain.api_key import ApiKey
from services.auth.domain.ids import as_uuid
from services.auth.domain.key_rules import key_not_found, may_see
from services.auth.ports import TeamChange
from services.common.identity import Caller


async def end_of_caller(change: TeamChange, caller: Caller, now: datetime) -> datetime | None:
    """Give the end of the key that the caller acts with; None when it has none.

    Raises AppError UNAUTHENTICATED KEY_REVOKED, KEY_EXPIRED: of two keys that revoke each other at once,
    the second no longer may.
    """
    change.team.check()
    own_id = as_uuid(caller.key_id) if caller.credential_kind == "api_key" else None
    own = await change.find_key(own_id) if own_id else None
    if own is None:
        return None
    own.check(now)
    return own.expires_at


async def key_of_caller(change: TeamChange, caller: Caller | None, key_id: str) -> ApiKey:
    """Find a key that the caller may govern; an operator (None) may govern all.

    Raises AppError NOT_FOUND KEY_NOT_FOUND.
    """
    wanted = as_uuid(key_id)
    key = await change.find_key(wanted) if wanted else None
    if key is None or (caller is not None and not may_see(caller, key)):
        raise key_not_found()
    return key
