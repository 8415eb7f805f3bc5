"""No row of one team is visible to another, even when a query forgets to filter."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.postgres_keys import PRESENTED_HASH_SETTING, PostgresKeys
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.domain.api_key import hash_of
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.common.database import TEAM_SETTING, Database
from services.common.errors import AppError
from tests.postgres import Databases

SECRET = "ma_of-the-other-team"


@dataclass(frozen=True, slots=True)
class TwoTeams:
    """The service's own database access, and another team with one key."""

    database: Database
    team_id: str
    secret: str

    async def count(self, table: str, settings: dict[str, str]) -> int:
        async with self.database.transaction(settings) as connection:
            return (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one()


@pytest.fixture
async def two(databases: Databases) -> AsyncIterator[TwoTeams]:
    team_id, secret = str(uuid4()), f"{SECRET}-{uuid4()}"
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        await admin.execute("INSERT INTO teams (id, name) VALUES (%s, 'Other')", (team_id,))
        await admin.execute(
            "INSERT INTO api_keys (id, team_id, label, key_hash, scopes) VALUES (%s, %s, 'k', %s, '{}')",
            (str(uuid4()), team_id, hash_of(secret)),
        )
        database = Database(databases.auth.app_url, pool_size=2)
        yield TwoTeams(database, team_id, secret)
        await database.close()
        await admin.execute("DELETE FROM teams WHERE id = %s", (team_id,))


@pytest.mark.promise("teams.rows")
@pytest.mark.parametrize("table", ["teams", "api_keys"])
async def test_without_a_team_nothing_is_seen(two: TwoTeams, table: str) -> None:
    """The default is nothing, not everything."""
    assert await two.count(table, {}) == 0
    assert await two.count(table, {TEAM_SETTING: ""}) == 0


@pytest.mark.promise("teams.rows")
@pytest.mark.parametrize("table", ["teams", "api_keys"])
async def test_a_team_sees_its_own_rows_only(two: TwoTeams, table: str) -> None:
    """Through the very role that the service works as."""
    assert await two.count(table, {TEAM_SETTING: two.team_id}) == 1
    assert await two.count(table, {TEAM_SETTING: str(uuid4())}) == 0


async def test_a_presented_key_sees_its_own_row_and_team_only(two: TwoTeams) -> None:
    """Before the team is known, the key itself is the only way in."""
    presented = {PRESENTED_HASH_SETTING: hash_of(two.secret).hex()}
    assert await two.count("api_keys", presented) == 1
    assert await two.count("teams", presented) == 1
    assert await two.count("api_keys", {PRESENTED_HASH_SETTING: hash_of("guess").hex()}) == 0
    found = await PostgresKeys(two.database).find(hash_of(two.secret))
    assert found is not None
    assert (found.team_id, found.team_name) == (two.team_id, "Other")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_keys SET team_id = :team",
        "UPDATE api_keys SET revoked_at = now()",
        "DELETE FROM api_keys",
        "UPDATE teams SET name = 'mine'",
        "DELETE FROM teams",
    ],
)
async def test_showing_a_key_changes_nothing(two: TwoTeams, statement: str) -> None:
    """The way in is for reading."""
    presented = {PRESENTED_HASH_SETTING: hash_of(two.secret).hex()}
    async with two.database.transaction(presented) as connection:
        values = {"team": DEFAULT_TEAM_ID} if ":team" in statement else {}
        assert (await connection.execute(sa.text(statement), values)).rowcount == 0


async def test_a_key_cannot_be_slipped_into_another_team(two: TwoTeams) -> None:
    """The check holds for what is written as well."""
    insert = (
        "INSERT INTO api_keys (id, team_id, label, key_hash, scopes) VALUES (:id, :team, 'k', :hash, '{}')"
    )
    values = {"id": str(uuid4()), "team": two.team_id, "hash": hash_of("x")}
    with pytest.raises(DBAPIError, match="row-level security"):
        async with two.database.team(DEFAULT_TEAM_ID) as connection:
            await connection.execute(sa.text(insert), values)


@pytest.mark.promise("teams.tables")
async def test_every_table_is_closed(databases: Databases) -> None:
    """A table that a later migration forgets to close fails here."""
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    query = """
        SELECT relname FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
          AND relname <> 'alembic_version' AND NOT (relrowsecurity AND relforcerowsecurity)
    """
    async with await psycopg.AsyncConnection.connect(url) as admin:
        assert await (await admin.execute(query)).fetchall() == []


async def test_a_role_above_row_level_security_is_not_served_with(databases: Databases) -> None:
    """A wrong DATABASE_URL makes auth unready instead of unsafe."""
    for url, is_ready in (
        (databases.auth.app_url, True),
        (databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?"), False),
        (databases.mail.app_url, False),
    ):
        database = Database(url, pool_size=1)
        assert await PostgresTeams(database, PostgresAudit(database)).is_ready() is is_ready
        await database.close()


async def test_a_database_that_is_not_there_is_a_typed_error() -> None:
    """Unready, and UNAVAILABLE to callers."""
    database = Database("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    assert await PostgresTeams(database, PostgresAudit(database)).is_ready() is False
    with pytest.raises(AppError, match="DATABASE_DOWN"):
        await PostgresKeys(database).find(hash_of("x"))
    await database.close()
