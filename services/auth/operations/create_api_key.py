"""Makes API keys."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from services.auth.domain.api_key import NO_RESTRICTIONS, SECRET_BYTES, ApiKey, hash_of, secret_of
from services.auth.domain.scopes import chosen_scopes
from services.auth.domain.team import DEFAULT_TEAM_ID, team_not_found
from services.auth.ports import Clock, Keys, RandomBytes, Teams
from services.common.errors import invalid
from services.common.identity import Restrictions

MAX_LABEL_CHARS: Final = 64
MAX_MAILBOXES: Final = 100
"""A passport carries them all, and it must fit into the 8 KiB of a call's metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a new key is to be. No scopes means all, no team the default one."""

    label: str
    team_id: str = ""
    scopes: tuple[str, ...] = ()
    restrictions: Restrictions = NO_RESTRICTIONS
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new key. The secret is shown once and kept nowhere."""

    key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """Draw a secret, keep its hash, hand the secret out."""

    keys: Keys
    teams: Teams
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, wanted: Wanted) -> Made:
        """Make a key.

        Raises AppError INVALID_ARGUMENT SCOPE_UNKNOWN, LABEL_INVALID, MAILBOX_ID_INVALID,
        EXPIRY_IN_THE_PAST; NOT_FOUND TEAM_NOT_FOUND.
        """
        now = self.clock()
        _check_label(wanted.label, "label", min_chars=1)
        _check_restrictions(wanted.restrictions)
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise invalid("EXPIRY_IN_THE_PAST", "expire_time must be in the future.", field="expire_time")
        scopes = chosen_scopes(wanted.scopes)
        team = await self.teams.get(_team_id(wanted.team_id))
        secret = secret_of(self.random_bytes(SECRET_BYTES))
        key = ApiKey(
            id=str(uuid4()),
            team_id=team.id,
            team_name=team.name,
            label=wanted.label,
            key_hash=hash_of(secret),
            scopes=scopes,
            restrictions=wanted.restrictions,
            created_at=now,
            expires_at=wanted.expires_at,
        )
        await self.keys.add(key)
        return Made(key.id, secret)


def _check_label(label: str, name: str, *, min_chars: int) -> None:
    is_tidy = label.isprintable() and label == label.strip()
    if not is_tidy or not min_chars <= len(label) <= MAX_LABEL_CHARS:
        message = (
            f"{name} must be {min_chars} to {MAX_LABEL_CHARS} printable characters, no space around them."
        )
        raise invalid("LABEL_INVALID", message, field=name)


def _check_restrictions(restrictions: Restrictions) -> None:
    _check_label(restrictions.label_prefix, "restrictions.label_prefix", min_chars=0)
    mailbox_ids = restrictions.mailbox_ids
    if len(mailbox_ids) > MAX_MAILBOXES or any(_as_uuid(given) != given for given in mailbox_ids):
        message = f"restrictions.mailbox_ids must be at most {MAX_MAILBOXES} UUIDs in lower case."
        raise invalid("MAILBOX_ID_INVALID", message, field="restrictions.mailbox_ids")


def _team_id(text: str) -> str:
    if not text:
        return DEFAULT_TEAM_ID
    team_id = _as_uuid(text)
    if team_id is None:
        raise team_not_found()
    return team_id


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
