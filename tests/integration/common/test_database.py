"""Transactions of one team on a real PostgreSQL."""

from collections.abc import AsyncIterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.database import TEAM_SETTING, Database
from services.common.errors import AppError
from tests.postgres import Databases

TEAM = "5d5f5c1e-0000-4000-8000-000000000001"


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    opened = Database(databases.mail.app_url, pool_size=1)
    yield opened
    await opened.close()


async def setting(connection: AsyncConnection) -> str:
    query = sa.text("SELECT current_setting(:name, true)")
    return (await connection.execute(query, {"name": TEAM_SETTING})).scalar_one() or ""


async def test_team_is_set_for_the_transaction_and_no_longer(database: Database) -> None:
    """The connection goes back to the pool without a team (row-level security sees nobody)."""
    async with database.team(TEAM) as connection:
        assert await setting(connection) == TEAM
    async with database.transaction({}) as connection:
        assert await setting(connection) == ""


async def test_failure_undoes_what_the_transaction_wrote(database: Database) -> None:
    """All of a transaction or nothing."""
    with pytest.raises(RuntimeError):
        async with database.team(TEAM) as connection:
            await connection.execute(sa.text("SELECT set_config('mailwarden.noted', 'yes', false)"))
            raise RuntimeError
    async with database.transaction({}) as connection:
        noted = await connection.execute(sa.text("SELECT current_setting('mailwarden.noted', true)"))
        assert noted.scalar_one() in {None, ""}


@pytest.mark.parametrize("value", ["x'; DROP TABLE mailboxes; --", "a b", "é", "\0"])
async def test_team_that_would_need_quoting_is_refused(database: Database, value: str) -> None:
    """A team comes out of a verified passport; what is no id never becomes SQL."""
    with pytest.raises(ValueError, match="cannot be set"):
        async with database.team(value):
            pass
    async with database.team(TEAM) as connection:
        assert await setting(connection) == TEAM


async def test_lost_connection_is_reported_once_and_replaced(
    database: Database, databases: Databases
) -> None:
    """A database that went away gives a typed error, and nobody restarts anything."""
    async with database.team(TEAM) as connection:
        pid = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
    async with await psycopg.AsyncConnection.connect(databases.admin_url, autocommit=True) as admin:
        await admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(AppError, match="DATABASE_DOWN"):
        async with database.team(TEAM):
            pass
    async with database.team(TEAM) as connection:
        assert await setting(connection) == TEAM


async def test_a_glance_sees_what_a_transaction_with_its_settings_would_and_leaves_none_behind(
    database: Database,
) -> None:
    """One message, one transaction, the rows of its query alone."""
    query = "SELECT current_setting('mailwarden.team_id'), n FROM generate_series(1, 2) AS n"
    assert await database.glance({TEAM_SETTING: TEAM}, query) == [(TEAM, 1), (TEAM, 2)]
    assert await database.glance({}, "SELECT 1 WHERE false") == []
    async with database.transaction({}) as connection:
        assert await setting(connection) == ""


async def test_a_glance_that_fails_leaves_a_connection_that_works(database: Database) -> None:
    """A mistake of ours is no outage, and the only connection of the pool is not spoiled."""
    with pytest.raises(psycopg.errors.UndefinedTable):
        await database.glance({TEAM_SETTING: TEAM}, "SELECT * FROM nowhere")
    assert await database.glance({}, "SELECT coalesce(current_setting('mailwarden.team_id', true), '')") == [
        ("",)
    ]
    with pytest.raises(ValueError, match="cannot be set"):
        await database.glance({TEAM_SETTING: "x'"}, "SELECT 1")


async def test_a_glance_on_a_lost_connection_is_reported_once(
    database: Database, databases: Databases
) -> None:
    """As a transaction on one is."""
    [(pid,)] = await database.glance({}, "SELECT pg_backend_pid()")
    async with await psycopg.AsyncConnection.connect(databases.admin_url, autocommit=True) as admin:
        await admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(AppError, match="DATABASE_DOWN"):
        await database.glance({}, "SELECT 1")
    assert await database.glance({}, "SELECT 1") == [(1,)]
