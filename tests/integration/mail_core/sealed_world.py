"""One team's mailbox in a database of its own, with master keys in a file that can rotate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from services.common.audit import AuditEvent
from services.common.database import Database
from services.common.master_keys import FileMasterKeys, new_master_key_line
from services.common.sealing import Sealer
from services.mail_core.adapters.postgres_master_keys import KeyAgreement, PostgresSealedValues
from services.mail_core.domain.records import Operation
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.look_at_mail import Page
from services.mail_core.operations.reseal_secrets import ResealSecrets
from tests.fakes.mail_database import MailDatabase, fresh_database
from tests.integration.mail_core.operations.world import World, letter
from tests.postgres import Databases

K1, K2 = (new_master_key_line(name) for name in ("k1", "k2"))
OLD_K1 = K1.removesuffix(":v3")
"""The same key as a release wrote it whose values are bound to no row."""


@dataclass
class Sealed:
    """One team's mailbox in a database of its own, with master keys in a file."""

    mail: MailDatabase
    world: World
    file: Path
    events: list[AuditEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = FileMasterKeys(self.file)
        self.agreement = KeyAgreement(self.world.database, self.keys)
        self.values = PostgresSealedValues(self.world.database)
        self.reseal = ResealSecrets(self.values, Sealer(self.keys), self.record)
        self.world.seal_with(Sealer(self.keys))

    async def record(self, events: Any) -> None:
        self.events += events

    async def use(self, *lines: str) -> str:
        """Put these keys into the file and agree; gives the key that seals."""
        self.file.write_text("\n".join(lines) + "\n")
        self.keys._watched.refresh()
        return await self.agreement.agree()

    async def reseal_all(self) -> dict[str, int]:
        counts, token = {"examined": 0, "resealed": 0, "raced": 0, "unreadable": 0}, ""
        while True:
            done = await self.reseal(token)
            counts = {name: count + getattr(done, name) for name, count in counts.items()}
            if not (token := done.next_page_token):
                return counts

    async def kept(self) -> list[tuple[str, bytes]]:
        return [(value.column, value.sealed) for value in await self.values.others(b"", None, 10_000)]

    async def uses(self) -> dict[str, int]:
        return {use.key_id: use.count for use in (await self.values.uses()).keys}

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """As the administrator, whom no row security holds."""
        async with await psycopg.AsyncConnection.connect(self.mail.admin_url, autocommit=True) as admin:
            cursor = await admin.execute(statement, values)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    async def lists(self, *names: str, **changes: str) -> None:
        for name in names:
            self.world.gmail.deliver(*letter(name, **changes).items())
        await self.world.scan()

    async def ask(self, *names: str) -> Operation:
        """Ask for lists to be ended, and give the operation as it ended."""
        known = await self.world.subscriptions()
        ids = [known[name].id for name in names]
        await self.world.ask.unsubscribe(self.world.call(), "me", "", ids, dry_run=False)
        return await self.world.run_all()

    async def unasked(self) -> bool:
        """Whether nothing was claimed, used or sent."""
        attempts, _ = await self.world.look.attempts(self.world.call(), "me", Page(0, ""))
        used = await self.sql("SELECT count(*) FROM used_targets")
        states = {row.state for row in (await self.world.subscriptions()).values()}
        sent = [*self.world.one_click.posted, *self.world.gmail.sent]
        return (attempts, used, states, sent) == ([], [(0,)], {SubscriptionState.CANDIDATE}, [])


@contextlib.asynccontextmanager
async def sealed_world(databases: Databases, file: Path, line: str = K1) -> AsyncIterator[Sealed]:
    """A mailbox, connected, its grant sealed under one master key."""
    async with fresh_database(databases) as mail, asyncio.timeout(60):
        database = Database(mail.app_url, pool_size=6)
        file.write_text(f"{line}\n")
        made = Sealed(mail, World(database), file)
        await made.agreement.agree()
        await made.world.connect()
        yield made
        await database.close()
