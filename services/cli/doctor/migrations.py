"""Migrations: each database is at the newest revision, and who owns its schema is not who serves."""

from collections.abc import AsyncIterator
from typing import Final

from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.isolation import connected
from services.cli.doctor.target import Target
from services.cli.environment import ROOT

_FOLDERS: Final = {"auth": "auth", "mail": "mail_core"}
_OWNERS: Final = """
    SELECT DISTINCT r.rolname, r.rolsuper, r.rolname = current_user
    FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Look at both databases."""
    for name in _FOLDERS:
        urls = target.databases.get(name)
        yield await owner(name, urls.app) if urls and urls.app else _unknown(f"migrations.{name}.owner", name)
        yield (
            await head(name, urls.owner) if urls and urls.owner else _unknown(f"migrations.{name}.head", name)
        )


async def owner(name: str, app_url: str) -> Finding:
    """See that the tables belong to a role that does not serve."""
    async with connected(app_url) as connection:
        rows = await (await connection.execute(_OWNERS)).fetchall()
    problems = [f"the serving role {role} owns tables" for role, _, is_us in rows if is_us]
    problems += [
        f"a superuser, {role}, owns tables" for role, is_super, is_us in rows if is_super and not is_us
    ]
    owners = ", ".join(sorted(role for role, *_ in rows))
    return judged(
        f"migrations.{name}.owner", problems if rows else ["there are no tables"], f"owned by {owners}"
    )


async def head(name: str, owner_url: str) -> Finding:
    """Compare the revision of the database with the newest of this release."""
    # Slow to load, and only used here.
    from alembic.script import ScriptDirectory

    folder = ROOT / "services" / _FOLDERS[name] / "migrations"
    newest = set(ScriptDirectory(str(folder)).get_heads())
    async with connected(owner_url) as connection:
        rows = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchall()
    found = {version for (version,) in rows}
    finding = f"migrations.{name}.head"
    if found == newest:
        return Finding(finding, Status.PASS, f"at {', '.join(sorted(found))}")
    text = f"at {', '.join(sorted(found)) or 'nothing'}, this release has {', '.join(sorted(newest))}"
    return Finding(finding, Status.FAIL, text)


def _unknown(finding: str, name: str) -> Finding:
    return skipped(finding, f"the {name} database, or its owner, is not known")
