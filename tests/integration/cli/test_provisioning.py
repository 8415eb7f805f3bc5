"""Roles and databases on a real server: enough for the services, and no more."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from services.cli.failure import Failure
from services.cli.provisioning import Credentials, Database, provision, with_role
from tests.integration.cli.test_postgres import serving


@pytest.fixture
async def admin_url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(tmp_path / "system") as (cluster, _):
        yield cluster.admin_url


@pytest.fixture
async def databases(admin_url: str, tmp_path: Path) -> Mapping[str, Database]:
    return await provision(admin_url, Credentials(tmp_path / "database.json"))


async def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Rows of the last statement."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as connection:
        for statement in statements:
            cursor = await connection.execute(sql.SQL(statement))  # type: ignore[arg-type]
        return await cursor.fetchall() if cursor.description else []


async def test_the_owner_makes_the_schema_and_the_app_only_uses_it(databases: Mapping[str, Database]) -> None:
    """Migrations run as one role, the service works as another."""
    mail = databases["mail"]
    await run(mail.owner_url, "CREATE TABLE t (n int)", f"GRANT SELECT, INSERT ON t TO {mail.app}")
    await run(mail.app_url, "INSERT INTO t VALUES (1)")
    for forbidden in ("CREATE TABLE mine (n int)", "DROP TABLE t", "CREATE TEMPORARY TABLE mine (n int)"):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.DatabaseError)):
            await run(mail.app_url, forbidden)


@pytest.mark.promise("teams.tables")
async def test_the_app_role_cannot_switch_row_level_security_off(databases: Mapping[str, Database]) -> None:
    """A query that forgets the team returns nothing, whatever the service does."""
    mail = databases["mail"]
    await run(
        mail.owner_url, "CREATE TABLE t (n int)", "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "INSERT INTO t VALUES (1)", f"GRANT SELECT ON t TO {mail.app}",
    )  # fmt: skip
    assert await run(mail.app_url, "SELECT * FROM t") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await run(mail.app_url, "SET row_security = off", "SELECT * FROM t")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await run(mail.app_url, f"SET ROLE {mail.owner}")


@pytest.mark.promise("teams.databases")
async def test_neither_service_can_enter_the_others_database(databases: Mapping[str, Database]) -> None:
    """Auth and mail core never read each other's data."""
    auth, mail = databases["auth"], databases["mail"]
    for url, other in ((auth.app_url, mail.name), (mail.app_url, auth.name), (mail.owner_url, auth.name)):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await run(
                url.replace(f"/{auth.name}?", f"/{other}?").replace(f"/{mail.name}?", f"/{other}?"),
                "SELECT 1",
            )


async def test_provisioning_again_changes_nothing_that_is_in_use(
    admin_url: str, databases: Mapping[str, Database], tmp_path: Path
) -> None:
    """Every start provisions; data, grants and passwords stay."""
    mail = databases["mail"]
    await run(mail.owner_url, "CREATE TABLE t (n int)", f"GRANT SELECT ON t TO {mail.app}")
    assert await provision(admin_url, Credentials(tmp_path / "database.json")) == databases
    assert await run(mail.app_url, "SELECT * FROM t") == []


async def test_an_administrator_without_superuser_rights_is_enough(admin_url: str, tmp_path: Path) -> None:
    """Managed servers give CREATEROLE and CREATEDB, not more."""
    await run(admin_url, "CREATE ROLE operator LOGIN CREATEROLE CREATEDB PASSWORD 'secret'")
    limited = with_role(admin_url, "operator", "secret", "postgres")
    for _ in range(2):
        mail = (await provision(limited, Credentials(tmp_path / "database.json")))["mail"]
        assert await run(mail.app_url, "SELECT current_user::text") == [(mail.app,)]


async def test_a_role_that_could_bypass_row_level_security_is_refused(
    admin_url: str, databases: Mapping[str, Database], tmp_path: Path
) -> None:
    """An operator's well-meant ALTER ROLE must not open every tenant's data."""
    await run(admin_url, f"ALTER ROLE {databases['mail'].app} BYPASSRLS")
    with pytest.raises(Failure, match="must be NOSUPERUSER NOBYPASSRLS"):
        await provision(admin_url, Credentials(tmp_path / "database.json"))


async def test_a_server_that_does_not_answer_is_a_plain_failure(tmp_path: Path) -> None:
    """No traceback, and no password in the message."""
    url = f"postgresql://root:hidden@/postgres?host={tmp_path}"
    with pytest.raises(Failure, match="the database could not be prepared") as failure:
        await provision(url, Credentials(tmp_path / "database.json"))
    assert "hidden" not in str(failure.value)
