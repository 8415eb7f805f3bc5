"""Replaces a key by a new one, with an overlap instead of an outage."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.auth.domain.api_key import OPERATOR, ApiKey
from services.auth.domain.key_rules import check_covers, overlap_of
from services.auth.operations.create_api_key import MakeKey, Wanted
from services.auth.operations.team_caller import end_of_caller, key_of_caller
from services.auth.ports import Clock, TeamChange, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.errors import precondition
from services.common.identity import Caller


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new key with its secret, shown once, and the old one with its end."""

    key: ApiKey
    secret: str = field(repr=False)
    replaced: ApiKey


@dataclass(frozen=True, slots=True)
class RotateKey:
    """Make a key like another, and let that other end soon. Each key is replaced once."""

    teams: Teams
    make: MakeKey
    clock: Clock

    async def __call__(
        self, team_id: str, key_id: str, overlap_minutes: int | None, caller: Caller | None = None
    ) -> Rotated:
        """Rotate, for a caller or for an operator (None). Raises AppError as the contract says."""
        overlap, now = overlap_of(overlap_minutes), self.clock()
        async with self.teams.changing(team_id) as change:
            own_end = await end_of_caller(change, caller, now) if caller else None
            old = await key_of_caller(change, caller, key_id)
            if caller is not None:
                check_covers(caller, own_end if old.id != caller.key_id else None, old)
            _check_replaceable(old, now)
            made = self.make.drafted(_like(old, caller), change.team)
            await change.add_key(made.key)
            await _end_predecessors(change, old, now)
            replaced = await _end(change, replace(old, replaced_by=made.key.id), now, overlap)
            await change.record(_rotated(old, made.key, overlap))
        return Rotated(made.key, made.secret, replaced)


def _like(old: ApiKey, caller: Caller | None) -> Wanted:
    return Wanted(
        label=old.label,
        scopes=tuple(sorted(old.scopes)),
        restrictions=old.restrictions,
        expires_at=old.expires_at,
        creator=caller.principal if caller else OPERATOR,
    )


def _rotated(old: ApiKey, new: ApiKey, overlap: timedelta) -> AuditEvent:
    return audit_event(
        "key.rotated",
        team_id=old.team_id,
        resource=old.root,
        replaced_by=new.id,
        overlap_minutes=overlap // timedelta(minutes=1),
    )


def _check_replaceable(key: ApiKey, now: datetime) -> None:
    if key.revoked_at is not None:
        raise precondition("KEY_ENDED", "The key was revoked; make a new one.")
    if not key.works(now):
        raise precondition("KEY_ENDED", "The key has expired; make a new one.")
    if key.replaced_by is not None:
        raise precondition("KEY_REPLACED", "The key was replaced already; rotate the one that replaced it.")


async def _end_predecessors(change: TeamChange, key: ApiKey, now: datetime) -> None:
    """End what this key itself replaced: rotating often must not multiply the keys that work."""
    for former in await change.working_keys(now):
        if former.replaced_by == key.id:
            await _end(change, former, now, timedelta())


async def _end(change: TeamChange, key: ApiKey, now: datetime, overlap: timedelta) -> ApiKey:
    if overlap:
        end = now + overlap
        ended = replace(key, expires_at=min(end, key.expires_at) if key.expires_at else end)
    else:
        ended = replace(key, revoked_at=now)
        await change.revoke(key.root)
    await change.save_key(ended)
    return ended
