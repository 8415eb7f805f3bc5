"""One suite for both stores of keys, so that the one in memory may be believed in unit tests."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.postgres_keys import PostgresKeys
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.domain.api_key import ApiKey, hash_of
from services.auth.domain.team import DEFAULT_TEAM_ID, Team
from services.auth.ports import Keys, Teams
from services.common.database import Database
from services.common.errors import AppError
from services.common.identity import Restrictions
from tests.fakes.auth_store import MemoryKeys, MemoryTeams
from tests.postgres import Databases

NOW = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Store:
    keys: Keys
    teams: Teams


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        teams = MemoryTeams()
        yield Store(MemoryKeys(teams), teams)
        return
    databases: Databases = request.getfixturevalue("databases")
    database = Database(databases.auth.app_url, pool_size=2)
    yield Store(PostgresKeys(database), PostgresTeams(database, PostgresAudit(database)))
    await database.close()


def new_key(**changes: Any) -> ApiKey:
    key = ApiKey(
        id=str(uuid4()),
        team_id=DEFAULT_TEAM_ID,
        team_name="Default team",
        label="ci",
        key_hash=hash_of(secrets.token_hex()),
        scopes=frozenset({"mail:scan", "unsubscribe:read"}),
        created_at=NOW,
    )
    return replace(key, **changes)


async def add(store: Store, key: ApiKey) -> None:
    async with store.teams.changing(key.team_id) as change:
        await change.add_key(key)


async def test_a_key_comes_back_as_it_went_in(store: Store) -> None:
    """Every field, to the microsecond."""
    mailboxes = frozenset({str(uuid4()), str(uuid4())})
    key = new_key(
        label="it's; DROP TABLE api_keys --",
        restrictions=Restrictions(True, "%_'\\", mailboxes),
        expires_at=NOW + timedelta(days=36_500),
    )
    await add(store, key)
    assert await store.keys.find(key.key_hash) == key


async def test_an_unknown_hash_finds_nothing(store: Store) -> None:
    """Also when other keys are there."""
    await add(store, new_key())
    assert await store.keys.find(hash_of("nobody's")) is None


async def test_a_key_of_an_unknown_team_is_not_kept(store: Store) -> None:
    """Typed as not found."""
    key = new_key(team_id=str(uuid4()))
    with pytest.raises(AppError, match="TEAM_NOT_FOUND"):
        await add(store, key)
    assert await store.keys.find(key.key_hash) is None


async def test_a_use_is_noted_once_a_minute(store: Store) -> None:
    """The second within the minute writes nothing, whoever asks."""
    key = new_key()
    await add(store, key)
    for seconds, noted in ((0, 0), (59, 0), (60, 60), (61, 60)):
        await store.keys.note_use(key, NOW + timedelta(seconds=seconds))
        found = await store.keys.find(key.key_hash)
        assert found is not None
        assert found.last_used_at == NOW + timedelta(seconds=noted)


async def test_the_default_team_is_there_and_no_other(store: Store) -> None:
    """Made by the first migration."""
    team = await store.teams.get(DEFAULT_TEAM_ID)
    assert replace(team, created_at=None) == Team(DEFAULT_TEAM_ID, "Default team", "enterprise")
    with pytest.raises(AppError, match="TEAM_NOT_FOUND"):
        await store.teams.get(str(uuid4()))
