"""Keys: form, hash, life, and the keys of the environment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.auth.domain.api_key import ApiKey, EnvironmentKeys, has_key_form, hash_of, secret_of
from services.auth.domain.team import Team
from services.common.errors import AppError
from services.common.identity import Restrictions

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KEY = ApiKey(
    id="4b8f6c1e-0000-4000-8000-000000000001",
    team_id="t",
    team_name="Team",
    label="ci",
    key_hash=hash_of("x"),
    scopes=frozenset({"mail:scan"}),
    restrictions=Restrictions(True, "ci-", frozenset({"m"})),
    created_at=NOW,
)


def test_a_key_is_ma_and_43_characters_of_base64url() -> None:
    """256 bits, as the contract says."""
    secret = secret_of(bytes(range(224, 256)))
    assert has_key_form(secret)
    assert len(secret) == 3 + 43
    assert not has_key_form(secret + "\n")


def test_revoked_counts_before_expired() -> None:
    """The stronger reason is told."""
    gone = replace(KEY, revoked_at=NOW, expires_at=NOW)
    with pytest.raises(AppError, match="KEY_REVOKED"):
        gone.check(NOW)


def test_a_key_ends_at_its_very_instant() -> None:
    """Expiry is exclusive."""
    key = replace(KEY, expires_at=NOW)
    key.check(NOW - timedelta(microseconds=1))
    with pytest.raises(AppError, match="KEY_EXPIRED"):
        key.check(NOW)


def test_a_use_is_noted_once_a_minute() -> None:
    """Cheap enough to do on every login."""
    assert KEY.needs_use_noted(NOW)
    assert not replace(KEY, last_used_at=NOW).needs_use_noted(NOW + timedelta(seconds=59))
    assert replace(KEY, last_used_at=NOW).needs_use_noted(NOW + timedelta(seconds=60))


def test_the_caller_carries_what_the_key_narrows() -> None:
    """Nothing is lost on the way into the passport."""
    caller = KEY.caller(Team(KEY.team_id, KEY.team_name, "pro"))
    assert (caller.principal, caller.key_id) == (f"key:{KEY.id}", KEY.id)
    assert (caller.scopes, caller.restrictions) == (KEY.scopes, KEY.restrictions)


def test_environment_keys_are_found_by_hash_and_keep_nothing_else() -> None:
    """Several at once, so that a rotation has an overlap."""
    keys = EnvironmentKeys(("first-key", "second-key"))
    assert keys.find(hash_of("second-key")) == f"env:{hash_of('second-key').hex()[:8]}"
    assert keys.find(hash_of("third-key")) is None
    assert EnvironmentKeys(()).find(hash_of("")) is None
    assert all(isinstance(value, bytes) for value in keys._hashes)


def test_a_repr_shows_no_hash() -> None:
    """A hash in a log would be a target for guessing."""
    assert hash_of("x").hex() not in repr(KEY)
    assert "key_hash" not in repr(KEY)
