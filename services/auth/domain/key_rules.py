"""What a key may give to another, and which keys a credential may govern. Pure rules."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from services.auth.domain.api_key import ApiKey
from services.common.errors import AppError, denied, exhausted, invalid, not_found, precondition
from services.common.identity import Caller, Restrictions

MIN_TTL_MINUTES: Final = 5
MAX_TTL_MINUTES: Final = 1_440
DEFAULT_OVERLAP_MINUTES: Final = 60
MAX_OVERLAP_MINUTES: Final = 10_080
_QUOTA_RETRY_S: Final = 3_600.0


def check_scopes_held(caller: Caller, scopes: frozenset[str]) -> None:
    """Raise PERMISSION_DENIED SCOPE_NOT_HELD for scopes that the caller could not use itself."""
    if missing := scopes - caller.scopes:
        message = "A credential cannot give scopes that it does not hold."
        raise denied("SCOPE_NOT_HELD", message, scope=" ".join(sorted(missing)))


def narrowed(own: Restrictions, wanted: Restrictions) -> Restrictions:
    """Add what is wanted to what the caller's own credential narrows; what is not named is inherited.

    Raises AppError PERMISSION_DENIED RESTRICTION_LOOSENED.
    """
    prefix = wanted.label_prefix or own.label_prefix
    mailboxes = wanted.mailbox_ids or own.mailbox_ids
    if not prefix.startswith(own.label_prefix):
        raise _loosened("label_prefix must begin with your own")
    if own.mailbox_ids and not mailboxes <= own.mailbox_ids:
        raise _loosened("mailbox_ids must be among your own")
    return Restrictions(own.read_only or wanted.read_only, prefix, mailboxes)


def bounded_end(own_end: datetime | None, wanted: datetime | None) -> datetime | None:
    """Let a key end no later than the one that makes it. Raises AppError RESTRICTION_LOOSENED."""
    if own_end is not None and wanted is not None and wanted > own_end:
        raise _loosened("a key cannot outlive the one that makes it")
    return wanted or own_end


def check_covers(caller: Caller, own_end: datetime | None, key: ApiKey) -> None:
    """Raise PERMISSION_DENIED when showing this key's secret would give the caller more than it has."""
    check_scopes_held(caller, key.scopes)
    if narrowed(caller.restrictions, key.restrictions) != key.restrictions:
        raise _loosened("the key may do more than your own")
    if own_end is not None and bounded_end(own_end, key.expires_at) != key.expires_at:
        raise _loosened("the key lives longer than your own")


def check_label_within(caller: Caller, label: str) -> None:
    """Raise PERMISSION_DENIED RESTRICTION_LOOSENED for a label outside the caller's prefix."""
    if not label.startswith(caller.restrictions.label_prefix):
        raise _loosened("label must begin with your label_prefix")


def may_see(caller: Caller, key: ApiKey) -> bool:
    """Whether a key is within what the caller is narrowed to, by label and by mailboxes, or its own."""
    own, theirs = caller.restrictions, key.restrictions.mailbox_ids
    is_within = not own.mailbox_ids or (bool(theirs) and theirs <= own.mailbox_ids)
    return (key.label.startswith(own.label_prefix) and is_within) or key.id == caller.key_id


def end_of(now: datetime, ttl_minutes: int, expires_at: datetime | None) -> datetime | None:
    """Give the end of a key's life. Raises AppError TTL_OUT_OF_RANGE, EXPIRY_IN_THE_PAST."""
    if ttl_minutes:
        if expires_at is not None:
            message = "Give ttl_minutes or expire_time, not both."
            raise invalid("TTL_OUT_OF_RANGE", message, field="ttl_minutes")
        if not MIN_TTL_MINUTES <= ttl_minutes <= MAX_TTL_MINUTES:
            message = f"ttl_minutes must be {MIN_TTL_MINUTES} to {MAX_TTL_MINUTES}."
            raise invalid("TTL_OUT_OF_RANGE", message, field="ttl_minutes")
        return now + timedelta(minutes=ttl_minutes)
    if expires_at is not None and expires_at <= now:
        raise invalid("EXPIRY_IN_THE_PAST", "expire_time must be in the future.", field="expire_time")
    return expires_at


def overlap_of(minutes: int | None) -> timedelta:
    """Give the time that a replaced key still works. Raises AppError OVERLAP_OUT_OF_RANGE."""
    minutes = DEFAULT_OVERLAP_MINUTES if minutes is None else minutes
    if not 0 <= minutes <= MAX_OVERLAP_MINUTES:
        message = f"overlap_minutes must be 0 to {MAX_OVERLAP_MINUTES}."
        raise invalid("OVERLAP_OUT_OF_RANGE", message, field="overlap_minutes")
    return timedelta(minutes=minutes)


def check_quota(working: Sequence[ApiKey], max_keys: int) -> None:
    """Raise RESOURCE_EXHAUSTED KEY_QUOTA when one key more were too many. Replaced keys do not count."""
    if sum(key.replaced_by is None for key in working) >= max_keys:
        message = f"The plan allows {max_keys} keys; revoke one first."
        raise exhausted("KEY_QUOTA", message, retry_after_s=_QUOTA_RETRY_S)


def check_admin_remains(key: ApiKey, working: Sequence[ApiKey]) -> None:
    """Raise FAILED_PRECONDITION LAST_ADMIN_KEY when without this key nobody could govern the team."""
    if key.is_lasting_admin and not any(other.is_lasting_admin for other in working if other.id != key.id):
        raise precondition("LAST_ADMIN_KEY", "This is the team's last admin key; make another first.")


def key_not_found() -> AppError:
    """Make the NOT_FOUND of a key that is absent, or of another team: deliberately not told apart."""
    return not_found("KEY_NOT_FOUND", "There is no such key.")


def _loosened(why: str) -> AppError:
    return denied("RESTRICTION_LOOSENED", f"A credential cannot give more than it has: {why}.")
