"""Makes API keys: the one way, for operators and for teams."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from services.auth.domain.api_key import NO_RESTRICTIONS, OPERATOR, SECRET_BYTES, ApiKey, hash_of, secret_of
from services.auth.domain.ids import as_uuid
from services.auth.domain.key_rules import end_of
from services.auth.domain.scopes import chosen_scopes
from services.auth.domain.team import DEFAULT_TEAM_ID, Team, team_not_found
from services.auth.ports import Clock, RandomBytes, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.errors import invalid
from services.common.identity import Restrictions

MAX_LABEL_CHARS: Final = 64
MAX_MAILBOXES: Final = 100
"""A passport carries them all, and it must fit into a call's metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a new key is to be. No scopes means those for mail, no team the default one."""

    label: str
    team_id: str = ""
    scopes: tuple[str, ...] = ()
    restrictions: Restrictions = NO_RESTRICTIONS
    expires_at: datetime | None = None
    ttl_minutes: int = 0
    creator: str = OPERATOR


@dataclass(frozen=True, slots=True)
class Made:
    """A new key. The secret is shown once and kept nowhere."""

    key: ApiKey
    secret: str = field(repr=False)

    @property
    def key_id(self) -> str:
        """Id of the key."""
        return self.key.id


@dataclass(frozen=True, slots=True)
class MakeKey:
    """Draw a secret and keep its hash in a team that is locked."""

    clock: Clock
    random_bytes: RandomBytes

    def drafted(self, wanted: Wanted, team: Team) -> Made:
        """Make a key that is kept nowhere yet. Raises AppError INVALID_ARGUMENT."""
        now = self.clock()
        check_text(wanted.label, "label", min_chars=1)
        _check_restrictions(wanted.restrictions)
        secret = secret_of(self.random_bytes(SECRET_BYTES))
        key = ApiKey(
            id=str(uuid4()),
            team_id=team.id,
            team_name=team.name,
            label=wanted.label,
            key_hash=hash_of(secret),
            scopes=chosen_scopes(wanted.scopes),
            restrictions=wanted.restrictions,
            created_at=now,
            expires_at=end_of(now, wanted.ttl_minutes, wanted.expires_at),
            creator=wanted.creator,
        )
        return Made(key, secret)


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """Make a key for an operator, whom no plan bounds: a team that is full can always be helped."""

    teams: Teams
    make: MakeKey

    async def __call__(self, wanted: Wanted) -> Made:
        """Make a key.

        Raises AppError INVALID_ARGUMENT SCOPE_UNKNOWN, LABEL_INVALID, MAILBOX_ID_INVALID,
        EXPIRY_IN_THE_PAST; NOT_FOUND TEAM_NOT_FOUND.
        """
        async with self.teams.changing(team_id_of(wanted.team_id)) as change:
            made = self.make.drafted(wanted, change.team)
            await change.add_key(made.key)
            await change.record(key_created(made.key))
        return made


def key_created(key: ApiKey) -> AuditEvent:
    """Say that a key was made."""
    return audit_event(
        "key.created",
        team_id=key.team_id,
        resource=key.root,
        key_hint=key.hint,
        scopes=" ".join(sorted(key.scopes)),
        read_only=key.restrictions.read_only,
        temporary=key.expires_at is not None,
    )


def check_text(label: str, name: str, *, min_chars: int, reason: str = "LABEL_INVALID") -> None:
    """Raise INVALID_ARGUMENT when text is no tidy name of at most 64 characters."""
    is_tidy = label.isprintable() and label == label.strip()
    if not is_tidy or not min_chars <= len(label) <= MAX_LABEL_CHARS:
        message = (
            f"{name} must be {min_chars} to {MAX_LABEL_CHARS} printable characters, no space around them."
        )
        raise invalid(reason, message, field=name)


def _check_restrictions(restrictions: Restrictions) -> None:
    check_text(restrictions.label_prefix, "restrictions.label_prefix", min_chars=0)
    mailbox_ids = restrictions.mailbox_ids
    if len(mailbox_ids) > MAX_MAILBOXES or any(as_uuid(given) != given for given in mailbox_ids):
        message = f"restrictions.mailbox_ids must be at most {MAX_MAILBOXES} UUIDs in lower case."
        raise invalid("MAILBOX_ID_INVALID", message, field="restrictions.mailbox_ids")


def team_id_of(text: str) -> str:
    """Read the id of a team that an operator names; none is the default one. Raises TEAM_NOT_FOUND."""
    if not text:
        return DEFAULT_TEAM_ID
    team_id = as_uuid(text)
    if team_id is None:
        raise team_not_found()
    return team_id
