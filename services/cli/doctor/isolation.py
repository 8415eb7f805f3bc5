"""Isolation: row-level security is on, nobody who serves can pass by it, and a query shows no other team."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import psycopg
from psycopg import AsyncConnection, sql

from services.cli.doctor.findings import Finding, judged, skipped
from services.cli.doctor.target import Target
from services.cli.doctor.throwaway import settled, throwaway_key, throwaway_team

CONNECT_S: Final = 5
_FOREIGN: Final = ("procrastinate_%", "alembic_version")
"""Tables of libraries, which hold ids alone."""
_ROLE: Final = """
    SELECT rolsuper, rolbypassrls, rolcreaterole,
           (SELECT count(*) FROM pg_class WHERE relowner = r.oid AND relkind = 'r'),
           (SELECT string_agg(o.rolname, ', ') FROM pg_roles o
            WHERE o.oid <> r.oid AND pg_has_role(r.oid, o.oid, 'MEMBER') AND NOT r.rolsuper)
    FROM pg_roles r WHERE rolname = current_user
"""
_TABLES: Final = """
    SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
           EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid),
           EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'team_id')
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND NOT c.relname LIKE ANY (%s) ORDER BY c.relname
"""


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect for looking: what is done is rolled back, and no statement takes longer than 10 s."""
    connection = await AsyncConnection.connect(url, connect_timeout=CONNECT_S)
    try:
        await connection.execute("SET LOCAL statement_timeout = '10s'")
        yield connection
    finally:
        await connection.rollback()
        await connection.close()


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Look at roles, tables and rows of both databases, then ask an edge for another team's mailbox."""
    for name in ("auth", "mail"):
        urls = target.databases.get(name)
        if urls is None or not urls.app:
            yield skipped(f"isolation.{name}", f"the {name} database is not known")
            continue
        async with connected(urls.app) as connection:
            yield await _role(connection, name)
            yield await _tables(connection, name)
            yield await _rows(connection, name)
    yield await _edge(target)


async def _role(connection: AsyncConnection, name: str) -> Finding:
    row = await (await connection.execute(_ROLE)).fetchone()
    is_super, bypasses, creates, owned, member_of = row or (True, True, True, 0, None)
    told = {
        "is a superuser": is_super,
        "bypasses row security": bypasses,
        "may create roles": creates,
        f"owns {owned} tables": owned,
        f"is a member of {member_of}": member_of,
    }
    problems = [f"the serving role {text}" for text, is_so in told.items() if is_so]
    fine = "the serving role owns nothing, is no superuser and cannot bypass row security"
    return judged(f"isolation.{name}.role", problems, fine)


async def _tables(connection: AsyncConnection, name: str) -> Finding:
    tables = await _list(connection)
    problems = [f"{table} is open" for table, forced, has_policy, _ in tables if not (forced and has_policy)]
    fine = f"row security is forced on all {len(tables)} tables"
    return judged(f"isolation.{name}.tables", problems if tables else ["there are no tables"], fine)


async def _rows(connection: AsyncConnection, name: str) -> Finding:
    """Read every table as nobody, and as a team that does not exist."""
    tables, problems = await _list(connection), []
    for team in ("", "ffffffff-ffff-4fff-bfff-ffffffffffff"):
        await connection.execute("SELECT set_config('mailwarden.team_id', %s, true)", (team,))
        for table, *_, has_team in tables:
            if team and not has_team:
                continue
            query = sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(table))
            row = await (await connection.execute(query)).fetchone()
            if row is None or row[0]:
                problems.append(f"{table} shows rows to {'a stranger' if team else 'nobody'}")
    fine = f"no row of {len(tables)} tables is seen without a team, nor by one that is not there"
    return judged(f"isolation.{name}.rows", problems, fine)


async def _list(connection: AsyncConnection) -> list[Any]:
    return await (await connection.execute(_TABLES, (list(_FOREIGN),))).fetchall()


async def _edge(target: Target) -> Finding:
    rest = target.edges.get("rest", "")
    if not rest:
        return skipped("isolation.edge", "the REST edge is not known")
    others = await _mailbox_of_others(target)
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        throwaway_team(target.operator) as team_id,
        throwaway_key(target.operator, team_id) as key,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        await settled(session, rest, key.secret)
        headers = {"X-API-Key": key.secret}
        async with session.get(f"{rest}/v1/mailboxes", headers=headers) as answer:
            seen = (await answer.json(content_type=None)).get("mailboxes", [])
        problems = [f"a new team sees {len(seen)} mailboxes"] if seen else []
        if others:
            url = f"{rest}/v1/mailboxes/{others}/subscriptions"
            async with session.get(url, headers=headers) as answer:
                if answer.status != 404:  # noqa: PLR2004  what is of others is not there
                    problems.append(f"another team's mailbox is answered with {answer.status}")
    known = (
        "and another team's mailbox is not found"
        if others
        else "and there is no mailbox of others to ask for"
    )
    return judged("isolation.edge", problems, f"a new team sees no mailboxes, {known}")


async def _mailbox_of_others(target: Target) -> str:
    """Find the id of a mailbox of the default team, when the mail database is known."""
    urls = target.databases.get("mail")
    if urls is None or not urls.app:
        return ""
    team = await target.operator.team()
    try:
        async with connected(urls.app) as connection:
            await connection.execute("SELECT set_config('mailwarden.team_id', %s, true)", (team.id,))
            row = await (await connection.execute("SELECT id::text FROM mailboxes LIMIT 1")).fetchone()
    except psycopg.Error:
        return ""
    return row[0] if row else ""
