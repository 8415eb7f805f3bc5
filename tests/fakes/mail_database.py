"""A mail database of one test's own, for what is one thing for a whole database, such as master keys."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

import services
from services.cli.provisioning import with_role
from services.common.migrations import upgrade
from tests.postgres import Databases

MIGRATIONS = Path(services.__path__[0]) / "mail_core" / "migrations"


@dataclass(frozen=True, slots=True)
class MailDatabase:
    """Where it is: as the role that serves, as its owner, and as the administrator."""

    app_url: str = field(repr=False)
    owner_url: str = field(repr=False)
    admin_url: str = field(repr=False)


@contextlib.asynccontextmanager
async def fresh_database(databases: Databases) -> AsyncIterator[MailDatabase]:
    """A mail database of our own: master keys are one thing for a whole database."""
    name = f"keys_{uuid.uuid4().hex[:12]}"
    mail = databases.mail
    async with await psycopg.AsyncConnection.connect(databases.admin_url, autocommit=True) as admin:
        await admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(mail.owner))
        )
        grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
        await admin.execute(grant.format(sql.Identifier(name), sql.Identifier(mail.app)))
        urls = [url.replace(f"/{mail.name}?", f"/{name}?") for url in (mail.owner_url, mail.app_url)]
        admin_url = with_role(databases.admin_url, None, None, name)
        async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as inside:
            owner = sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(mail.owner))
            await inside.execute(owner)
        await asyncio.to_thread(upgrade, MIGRATIONS, *urls)
        yield MailDatabase(urls[1], urls[0], admin_url)
        await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
