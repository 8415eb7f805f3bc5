"""An audit log of one test's own, signed as auth signs it, and the hand of whoever owns its schema."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.types.json import Jsonb

import services
from services.auth.adapters.audit_checkpoint_file import CheckpointFile
from services.auth.adapters.audit_checkpoints_postgres import PostgresCheckpoints
from services.auth.adapters.audit_key_file import FileAuditKeys
from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.domain.audit_chain import Link, link_after
from services.auth.operations.audit_checkpoints import SignCheckpoints
from services.auth.operations.audit_log import Checkpoints, CheckpointsVerdict, Verdict, VerifyAudit
from services.auth.operations.audit_upkeep import Retention
from services.cli.provisioning import with_role
from services.common.audit import AuditEvent
from services.common.audit_checkpoint import Checkpoint
from services.common.database import Database
from services.common.migrations import upgrade
from services.common.new_key_file import write_new_key
from tests.postgres import Databases

MIGRATIONS = Path(services.__path__[0]) / "auth" / "migrations"
DAYS = 90
START = datetime.now(UTC) - timedelta(days=400)
"""When the clock of a test begins: the database's own is never asked for what is that old."""


@dataclass
class Clock:
    """The time as auth sees it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class AuditWorld:
    """One auth database, one replica that signs, and the owner's hand."""

    urls: list[str]
    """Of its owner, and of the role that serves."""
    database: Database
    owner: psycopg.AsyncConnection[Any]
    key_file: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.log = PostgresAudit(self.database)
        self.checkpoints = PostgresCheckpoints(self.database)
        self.sign = self.replica()

    @property
    def keys(self) -> FileAuditKeys:
        return FileAuditKeys(self.key_file, self.clock.now.timestamp)

    def replica(self, copies: Path | None = None) -> SignCheckpoints:
        """Another process, which remembers nothing but what its copy says."""
        return SignCheckpoints(
            self.checkpoints,
            self.keys,
            self.clock,
            timedelta(days=DAYS),
            CheckpointFile(copies) if copies else None,
        )

    async def record(self, *teams: str, count: int = 3) -> None:
        """Let something happen to teams, sign, and let a minute pass."""
        for team_id in teams:
            await self.log.append([self.event(team_id) for _ in range(count)])
        await self.sign()
        self.clock.forward(minutes=1)

    def event(self, team_id: str, **changes: Any) -> AuditEvent:
        return AuditEvent(action="key.created", team_id=team_id, actor="operator", at=self.clock(), **changes)

    async def prune(self) -> int:
        return await Retention(self.log, DAYS)()

    async def verdicts(
        self, seen: Checkpoint | None = None, team_id: str = ""
    ) -> tuple[CheckpointsVerdict, dict[str, Verdict]]:
        verify = VerifyAudit(self.log, Checkpoints(self.checkpoints, self.keys, lambda: seen))
        found = [each async for each in verify(team_id)]
        assert isinstance(found[0], CheckpointsVerdict)
        return found[0], {each.team_id: each for each in found[1:] if isinstance(each, Verdict)}

    async def problems(self, seen: Checkpoint | None = None) -> dict[str, tuple[int, str, int]]:
        """What is wrong, by team, and with the checkpoints: place, problem, and the number that says so."""
        of_checkpoints, of_chains = await self.verdicts(seen)
        broken = {"checkpoints": of_checkpoints.broken} | {t: v.broken for t, v in of_chains.items()}
        return {n: (b.sequence, b.problem.value, b.checkpoint) for n, b in broken.items() if b is not None}

    async def tamper(self, *statements: str, **values: Any) -> None:
        await self.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
        for statement in statements:
            await self.owner.execute(statement.encode(), values or None)
        await self.owner.execute("ALTER TABLE audit_events ENABLE TRIGGER ALL")

    async def rewrite(self, team_id: str, start: int, **changes: Any) -> None:
        """Change an event, and compute all hashes from there on, and the head, as they would have been."""
        rows = await self.log.rows(team_id, start - 1, 10**6)
        before = await self.owner.execute(
            "SELECT hash FROM audit_events WHERE team_id = %s AND sequence = %s", (team_id, start - 1)
        )
        found = await before.fetchone()
        place = Link(start - 1, bytes(found[0]) if found else bytes(32))
        for row in rows:
            event = replace(row.event, **changes) if row.link.sequence == start else row.event
            place = link_after(place, event)
            await self.tamper(
                "UPDATE audit_events SET actor = %(actor)s, hash = %(hash)s"
                " WHERE team_id = %(team)s AND sequence = %(sequence)s",
                actor=event.actor, hash=place.digest, team=team_id, sequence=place.sequence,
            )  # fmt: skip
        await self.tamper(
            "UPDATE audit_heads SET hash = %(hash)s WHERE team_id = %(team)s", hash=place.digest, team=team_id
        )

    async def saved(self) -> Mapping[str, list[tuple[Any, ...]]]:
        """Back up what the log consists of."""
        tables = ("audit_events", "audit_heads", "audit_checkpoints", "audit_checkpoint_heads")
        return {
            table: await (await self.owner.execute(f"SELECT * FROM {table}".encode())).fetchall()
            for table in tables
        }

    async def restore(self, backup: Mapping[str, list[tuple[Any, ...]]]) -> None:
        """Roll the whole log back."""
        await self.owner.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
        for table, rows in backup.items():
            await self.owner.execute(f"TRUNCATE {table}".encode())
            for row in rows:
                values = [Jsonb(each) if isinstance(each, dict) else each for each in row]
                marks = ", ".join(["%s"] * len(row))
                await self.owner.execute(f"INSERT INTO {table} VALUES ({marks})".encode(), values)
        await self.owner.execute("ALTER TABLE audit_events ENABLE TRIGGER ALL")


@contextlib.asynccontextmanager
async def audit_world(
    databases: Databases, folder: Path, migrations: Path = MIGRATIONS
) -> AsyncIterator[AuditWorld]:
    """Make an auth database: checkpoints are one thing for a whole database."""
    auth, name = databases.auth, f"audit_{uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(databases.admin_url, autocommit=True) as admin:
        names = {"name": sql.Identifier(name), "owner": sql.Identifier(auth.owner)}
        await admin.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))
        app = sql.Identifier(auth.app)
        await admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {name} TO {app}").format(**names, app=app))
        urls = [url.replace(f"/{auth.name}?", f"/{name}?") for url in (auth.owner_url, auth.app_url)]
        admin_url = with_role(databases.admin_url, None, None, name)
        async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as owner:
            await owner.execute(sql.SQL("ALTER SCHEMA public OWNER TO {owner}").format(**names))
            await asyncio.to_thread(upgrade, migrations, *urls)
            key_file = folder / "audit.pem"
            write_new_key(key_file, Ed25519PrivateKey.generate())
            database = Database(urls[1], pool_size=5)
            yield AuditWorld(urls, database, owner, key_file)
            await database.close()
        await admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))
