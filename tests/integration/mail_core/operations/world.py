"""A mail core without processes: real operations on real PostgreSQL, with Google and senders in memory."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.context import Call
from services.common.database import Database
from services.common.errors import unavailable
from services.common.identity import Caller, Restrictions
from services.common.link_safety import LinkPolicy
from services.common.master_keys import MasterKeys
from services.common.sealing import Sealer
from services.mail_core.adapters.operation_changes import PostgresOperationChanges
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.operation import OperationKind, ScanReport, UnsubscribeReport
from services.mail_core.domain.records import Mailbox, Operation, Subscription
from services.mail_core.domain.triage import parse_rules
from services.mail_core.operations.ask_for_work import AskForWork
from services.mail_core.operations.await_right import AwaitRight
from services.mail_core.operations.follow_operation import FollowOperation
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.import_mailbox import ImportMailbox, StateFiles
from services.mail_core.operations.look_at_mail import LookAtMail, Page
from services.mail_core.operations.owner_time import OwnerTime
from services.mail_core.operations.run_operation import RunOperation
from services.mail_core.operations.scan_mailbox import ScanMailbox, ScanSettings
from services.mail_core.operations.unsubscribe import Unsubscribe
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from tests.fakes.gmail import FakeMailbox
from tests.fakes.google_access import FakeGoogle
from tests.fakes.one_click import FakeOneClick

EVERYTHING = frozenset(
    {
        "mail:scan",
        "unsubscribe:read",
        "unsubscribe:execute",
        "availability:read",
        "available_meeting_intervals:read",
    }
)
RULES = parse_rules(
    {
        "categories": [
            {"name": "LINKEDIN", "label": "LinkedIn", "match": [{"from_domains": ["linkedin.com"]}]},
            {
                "name": "ADVERTISING",
                "label": "Advertising",
                "match": [{"gmail_labels": ["CATEGORY_PROMOTIONS"]}],
            },
        ]
    }
)
TOKEN = orjson.dumps({"refresh_token": "refresh-1"}).decode()


class RecordingQueue:
    """Takes the place of the job queue: remembers what was queued, in the order of commits."""

    def __init__(self) -> None:
        self.queued: list[Operation] = []

    async def enqueue(self, _connection: AsyncConnection, operation: Operation) -> None:
        self.queued.append(operation)


@dataclass
class FakeRights:
    """Rights stand unless one of their roots is gone. `is_away` gives no answer, until it is set to False."""

    gone: set[str] = field(default_factory=set)
    is_away: bool = False
    asked: list[frozenset[str]] = field(default_factory=list)

    async def stands(self, roots: Collection[str], issued_at: datetime) -> bool:
        del issued_at
        self.asked.append(frozenset(roots))
        if self.is_away:
            raise unavailable("AUTH_DOWN", "Auth does not answer.")
        return self.gone.isdisjoint(roots)


@dataclass
class World:
    """One team with one mailbox, and ways to act on it."""

    database: Database
    settings: ScanSettings = ScanSettings()
    team_id: TeamId = field(default_factory=lambda: TeamId(str(uuid.uuid4())))
    gmail: FakeMailbox = field(default_factory=FakeMailbox)
    one_click: FakeOneClick = field(default_factory=FakeOneClick)
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    rights: FakeRights = field(default_factory=FakeRights)
    time: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.google = FakeGoogle(mailboxes={"refresh-1": self.gmail})
        self.store = PostgresStore(self.database, self.queue)  # pyright: ignore[reportArgumentType]
        self.seal_with(Sealer(MasterKeys({"k1": bytes(32)})))

    def seal_with(self, sealer: Sealer) -> None:
        """Use these master keys from now on."""
        self.grants, self.targets = GoogleGrants(sealer, self.google), UnsubscribeTargets(sealer)
        self.ask = AskForWork(self.store, self.targets, self.now)
        self.look = LookAtMail(self.store, self.targets)
        self.follow = FollowOperation(self.store, self.targets, PostgresOperationChanges(""))
        self.owner_time = OwnerTime(self.store, self.grants, self.now)

    def now(self) -> datetime:
        return self.time

    def later(self, **delta: float) -> None:
        self.time += timedelta(**delta)

    def call(self, **changes: Any) -> Call:
        facts = {"team_id": self.team_id, "scopes": EVERYTHING, "restrictions": Restrictions(), **changes}
        caller = Caller(team_name="Team", principal="key:1", key_id="1", credential_kind="api_key", **facts)
        return Call(request_id="r", peer="edge_rest", caller=caller)

    async def connect(self) -> Mailbox:
        done = await ImportMailbox(self.store, self.grants)(self.team_id, StateFiles(TOKEN))
        return done.mailbox

    @property
    def runner(self) -> RunOperation:
        opened = (self.store, self.grants, self.targets)
        scan = ScanMailbox(*opened, RULES, LinkPolicy(), self.settings, self.now)
        ending = Unsubscribe(*opened, self.one_click, self.now)
        work = {OperationKind.SCAN: scan, OperationKind.UNSUBSCRIBE: ending}
        return RunOperation(self.store, work, AwaitRight(self.rights, retry_s=0))

    async def run_all(self, *, is_last_try: bool = True) -> Operation:
        """Work off the queue; gives the last operation as it is then."""
        operation = self.queue.queued[-1]
        while self.queue.queued:
            queued = self.queue.queued.pop(0)
            await self.runner(self.team_id, queued.id, is_last_try)
        return await self.operation(operation)

    async def operation(self, operation: Operation) -> Operation:
        return await self.follow.get(self.call(), operation.id)

    async def scan(self, *, dry_run: bool = False, max_messages: int = 0) -> ScanReport:
        await self.ask.scan(self.call(), "me", "", dry_run=dry_run, max_messages=max_messages)
        done = await self.run_all()
        assert isinstance(done.result, ScanReport), done.error
        return done.result

    async def subscriptions(self) -> dict[str, Subscription]:
        rows, _, _ = await self.look.subscriptions(self.call(), "me", Page(200, ""), ())
        return {row.key.key: row for row in rows}

    async def unsubscribe(self, *keys: str, request_id: str = "", dry_run: bool = False) -> UnsubscribeReport:
        known = await self.subscriptions()
        ids = [known[key].id for key in keys]
        await self.ask.unsubscribe(self.call(), "me", request_id, ids, dry_run=dry_run)
        if not self.queue.queued:
            raise AssertionError("nothing was queued: the request id had been used")
        done = await self.run_all()
        assert isinstance(done.result, UnsubscribeReport), done.error
        return done.result


def letter(list_id: str, **changes: str) -> Mapping[str, str]:
    """Headers of a list's message; one-click that qualifies unless changed. An empty value leaves one out."""
    domain = "news.example"
    headers = {
        "From": f"{list_id} <hello@{domain}>",
        "To": "owner@example.com",
        "Subject": "News",
        "List-Id": f"<{list_id}>",
        "List-Unsubscribe": f"<https://{domain}/u/{list_id}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Authentication-Results": f"mx.google.com;"
        f" dkim=pass header.i=@{domain} header.s=s1 header.b=abcdefgh",
        "DKIM-Signature": f"v=1; a=rsa-sha256; d={domain}; s=s1;"
        " h=from:list-unsubscribe:list-unsubscribe-post; bh=x; b=abcdefghij",
    }
    renamed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in (headers | renamed).items() if value}
