"""Databases and roles, the same on the embedded server and on one that `DATABASE_URL` names.

Each service has a database, an owner role that runs its migrations, and an app role that it works as.
The app role owns nothing and cannot bypass row-level security.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import AsyncConnection, sql

from services.cli.failure import Failure
from services.cli.postgres import new_password
from services.common.lifecycle import write_atomically

DATABASES: Final = ("auth", "mail")
_CONNECT_S: Final = 10
_LOCK: Final = 0x6D61696C77617264  # "mailward": two systems may provision one external server at once


@dataclass(frozen=True, slots=True)
class Database:
    """One service's database and its two roles."""

    name: str
    owner: str
    app: str
    owner_url: str
    app_url: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Passwords of our roles, kept in one file that only we can read."""

    path: Path

    def passwords(self) -> Mapping[str, str]:
        """Read the passwords, making those that are missing."""
        held: dict[str, str] = json.loads(self.path.read_text()) if self.path.exists() else {}
        wanted = ("postgres", *(role for name in DATABASES for role in _roles(name)))
        missing = {role: new_password() for role in wanted if role not in held}
        if missing:
            held |= missing
            write_atomically(self.path, json.dumps(held, indent=1), mode=0o600)
        return held


async def provision(admin_url: str, credentials: Credentials) -> Mapping[str, Database]:
    """Make what is missing, set our passwords, close what PostgreSQL leaves open. Safe to repeat.

    Raises Failure when the administrator cannot connect or may not do it.
    """
    passwords = credentials.passwords()
    try:
        async with await _connect(admin_url) as admin:
            await admin.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            return {name: await _provision_one(admin, admin_url, name, passwords) for name in DATABASES}
    except psycopg.Error as error:
        raise Failure(f"the database could not be prepared: {_first_line(error)}") from error


async def _provision_one(
    admin: AsyncConnection, admin_url: str, name: str, passwords: Mapping[str, str]
) -> Database:
    database, (owner, app) = f"mailwarden_{name}", _roles(name)
    for role in (owner, app):
        await _ensure_role(admin, role, passwords[role])
    await _ensure_database(admin, database, owner)
    await _grant(admin, database, app)
    async with await _connect(with_role(admin_url, None, None, database)) as inside:
        await _close_schema(inside, owner, app)
    return Database(
        name=database,
        owner=owner,
        app=app,
        owner_url=with_role(admin_url, owner, passwords[owner], database),
        app_url=with_role(admin_url, app, passwords[app], database),
    )


async def _ensure_role(admin: AsyncConnection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    found = await admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    if await found.fetchone() is None:
        await admin.execute(sql.SQL("CREATE ROLE {}").format(name))
        # Without superuser rights, an administrator must be a member to give a database to the role.
        await admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    # The server gets the SCRAM verifier, so that no statement log ever holds the password.
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    await admin.execute(
        sql.SQL("ALTER ROLE {} LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD {}").format(name, verifier)
    )
    await _check_powerless(admin, role)


async def _check_powerless(admin: AsyncConnection, role: str) -> None:
    """Refuse a role that an operator has given rights which would switch row-level security off."""
    query = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s"
    row = await (await admin.execute(query, (role,))).fetchone()
    if row is None or row[0]:
        raise Failure(f"role {role} must be NOSUPERUSER NOBYPASSRLS")


async def _ensure_database(admin: AsyncConnection, database: str, owner: str) -> None:
    found = await admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    if await found.fetchone() is None:
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'"
        await admin.execute(sql.SQL(statement).format(sql.Identifier(database), sql.Identifier(owner)))


async def _grant(admin: AsyncConnection, database: str, app: str) -> None:
    names = (sql.Identifier(database), sql.Identifier(app))
    await admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(names[0]))
    await admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*names))


async def _close_schema(inside: AsyncConnection, owner: str, app: str) -> None:
    await inside.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(owner)))
    await inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    await inside.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(app)))


async def _connect(url: str) -> AsyncConnection:
    return await AsyncConnection.connect(url, autocommit=True, connect_timeout=_CONNECT_S)


def _roles(name: str) -> tuple[str, str]:
    return f"mailwarden_{name}_owner", f"mailwarden_{name}_app"


def with_role(url: str, role: str | None, password: str | None, database: str) -> str:
    """The same server with another database and, when given, another role."""
    parts = urlsplit(url)
    login, _, address = parts.netloc.rpartition("@")
    dropped = {"dbname"}
    if role is not None:
        login = f"{role}:{quote(password or '', safe='')}"
        dropped |= {"user", "password"}
    # Kept as written: libpq and urllib disagree about "+" in a query.
    query = "&".join(item for item in parts.query.split("&") if item.partition("=")[0] not in dropped)
    netloc = f"{login}@{address}" if login else address
    return urlunsplit(("postgresql", netloc, f"/{database}", query, ""))


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
