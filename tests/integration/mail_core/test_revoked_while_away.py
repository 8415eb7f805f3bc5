"""Work whose right was revoked while the core was away does not begin when the core is back."""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2, mail_pb2_grpc, resources_pb2
from services.cli.folder import DataFolder
from services.cli.plan import Plan
from services.cli.programs import Running, start
from services.cli.provisioning import with_role
from services.common.context import Call, entered
from services.common.database import Database
from services.common.grpc_client import Channel
from services.common.identity import Caller, Restrictions, team_root
from services.common.master_keys import FileMasterKeys
from services.common.sealing import Sealer
from services.common.tls import TlsFiles
from services.mail_core.adapters.job_queue import JobQueue
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.ids import SubscriptionId
from services.mail_core.operations.ask_for_work import AskForWork
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.wiring import now
from tests.fakes.sandbox_process import Sandbox, running_sandbox
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

LONG_AGO: Final = "interval '10 minutes'"
"""Far beyond a passport's life, and beyond what a stream of revocations tells again."""
SCOPES: Final = ["mail:scan", "unsubscribe:read", "unsubscribe:execute"]
FINAL: Final = {resources_pb2.OPERATION_STATE_SUCCEEDED, resources_pb2.OPERATION_STATE_CANCELLED}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the team."""

    id: str
    secret: str


class Scene:
    """A team with a mailbox, auth as a process, and a core that a test starts and stops."""

    def __init__(self, folder: Path, databases: Databases, auth: RunningAuth, sandbox: Sandbox) -> None:
        self.folder = DataFolder.prepare(folder)
        self.databases = databases
        self.auth = auth
        self.sandbox = sandbox
        self.team_id = ""

    @property
    def operator(self) -> Any:
        return auth_pb2_grpc.AuthAdminServiceStub(self.auth.channel("cli"))  # type: ignore[arg-type]

    async def found_team(self) -> None:
        made = await self.operator.CreateTeam(auth_pb2.CreateTeamRequest(name="Away", plan="pro"))
        self.team_id = made.team.id

    async def key(self) -> Key:
        made = await self.auth.create_key(team_id=self.team_id, scopes=SCOPES)
        return Key(made.key_id, made.secret)

    @contextlib.asynccontextmanager
    async def core(self) -> AsyncIterator["Core"]:
        """Run the core while the block does."""
        plan = Plan(self.folder, {"PATH": os.environ["PATH"], "DRAIN_S": "1"})
        program = plan.mail_core(self.databases.mail, self.auth.address, self.sandbox.google)
        running = await start(program)
        try:
            async with contextlib.AsyncExitStack() as stack:
                yield Core(self, running, stack)
        finally:
            await running.stop()

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[AskForWork]:
        """What a core does with a request, without anybody who works on what is queued."""
        url = self.databases.mail.app_url
        database = Database(url)
        keys = FileMasterKeys(self.folder.secrets / "master.key")
        store = PostgresStore(database, JobQueue(url, concurrency=1, heartbeat_s=1, stalled_s=5))
        yield AskForWork(store, UnsubscribeTargets(Sealer(keys)), now)
        await database.close()

    def call(self, key: Key) -> Call:
        caller = Caller(
            team_id=self.team_id,
            team_name="Away",
            principal=f"key:{key.id}",
            key_id=key.id,
            credential_kind="api_key",
            scopes=frozenset(SCOPES),
            restrictions=Restrictions(),
            roots=frozenset({team_root(self.team_id), f"key:{key.id}"}),
            issued_at=time.time(),
        )
        return Call(request_id=str(uuid.uuid4()), peer="edge_rest", caller=caller)

    async def let_time_pass(self) -> None:
        """Make all that was asked for and revoked so far something of long ago."""
        back = {
            self.databases.mail.name: f"""
                UPDATE operations SET created_at = created_at - {LONG_AGO},
                    right_issued_at = right_issued_at - {LONG_AGO} WHERE team_id = %(team)s""",
            self.databases.auth.name: f"""
                UPDATE revocations SET revoked_at = revoked_at - {LONG_AGO} WHERE team_id = %(team)s""",
        }
        for name, change in back.items():
            url = with_role(self.databases.admin_url, None, None, name)
            async with await psycopg.AsyncConnection.connect(url) as above:
                await above.execute(change, {"team": self.team_id})  # type: ignore[arg-type]

    async def stopped_in_the_log(self) -> list[str]:
        """The operations that the team's log says were stopped for their credential."""
        request = auth_pb2.ExportAuditRequest(team_id=self.team_id)
        events = [answer.event async for answer in self.operator.ExportAudit(request)]
        wanted = ("operation.cancel_requested", "CREDENTIAL_REVOKED")
        return [event.resource for event in events if (event.action, event.reason) == wanted]


class Core:
    """A running core, and calls to it as the REST edge makes them."""

    def __init__(self, scene: Scene, running: Running, stack: contextlib.AsyncExitStack) -> None:
        self._scene = scene
        self._running = running
        self._stack = stack

    def _channel(self, peer: str) -> Channel:
        files = self._scene.auth.certificates.environment(peer)
        tls = TlsFiles(*(Path(files[name]) for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")))
        channel = Channel(self._running.addresses["grpc"], "mail_core", tls)
        self._stack.push_async_callback(channel.close)
        return channel

    async def connect_mailbox(self) -> None:
        stub = mail_pb2_grpc.MailAdminServiceStub(self._channel("cli"))  # type: ignore[arg-type]
        token = await self._scene.sandbox.token_json()
        await stub.ImportMailbox(mail_pb2.ImportMailboxRequest(team_id=self._scene.team_id, token_json=token))

    async def ask(self, key: Key, method: str, request: Any) -> Any:
        async def passport_for(_audience: str) -> str:
            return (await self._scene.auth.issue(api_key=key.secret)).token

        call = Call(request_id="test", deadline=time.monotonic() + 30, passport_for=passport_for)
        with entered(call):
            stub = mail_pb2_grpc.MailServiceStub(self._channel("edge_rest"))  # type: ignore[arg-type]
            return await getattr(stub, method)(request)

    async def ended(self, key: Key, operation_id: str) -> Any:
        async def passport_for(_audience: str) -> str:
            return (await self._scene.auth.issue(api_key=key.secret)).token

        call = Call(request_id="test", passport_for=passport_for)
        with entered(call):
            stub = mail_pb2_grpc.MailServiceStub(self._channel("edge_rest"))  # type: ignore[arg-type]
            async for told in stub.WatchOperation(mail_pb2.WatchOperationRequest(id=operation_id)):
                if told.state in FINAL:
                    return told.state
        raise AssertionError("the stream ended before the operation did")


@pytest.fixture
async def scene(databases: Databases, tmp_path: Path) -> AsyncIterator[Scene]:
    with running_sandbox(tmp_path, SANDBOX_QUOTA_TABLE="2025") as sandbox:
        async with running_auth(tmp_path, databases.auth.app_url) as auth:
            scene = Scene(tmp_path, databases, auth, sandbox)
            await scene.found_team()
            yield scene


@pytest.mark.promise("revocation.work")
async def test_what_a_key_had_asked_for_does_not_begin_when_the_key_was_revoked_while_the_core_was_away(
    scene: Scene,
) -> None:
    """Stopped for longer than any passport lives. What another key had asked for goes on as ever."""
    revoked, kept = await scene.key(), await scene.key()
    async with scene.core() as core:
        await core.connect_mailbox()
        scan = await core.ask(kept, "ScanMailbox", mail_pb2.ScanMailboxRequest(mailbox_id="me"))
        assert await core.ended(kept, scan.id) == resources_pb2.OPERATION_STATE_SUCCEEDED
        lists = mail_pb2.ListSubscriptionsRequest(mailbox_id="me", page_size=200)
        found = (await core.ask(kept, "ListSubscriptions", lists)).subscriptions
    ids = {row.key: row.id for row in found}
    ours, theirs = ids["hebdo.pythonhebdo.example"], ids["brief.cloudnativebrief.example"]
    async with scene.asking() as ask:
        stopped = [
            await ask.unsubscribe(scene.call(revoked), "me", "", [SubscriptionId(ours)], dry_run=False),
            await ask.scan(scene.call(revoked), "me", "", dry_run=False, max_messages=0),
        ]
        goes_on = await ask.unsubscribe(scene.call(kept), "me", "", [SubscriptionId(theirs)], dry_run=False)
    await scene.operator.RevokeApiKey(
        auth_pb2.RevokeApiKeyRequest(team_id=scene.team_id, key_id=revoked.id, force=True)
    )
    await scene.let_time_pass()
    async with scene.core() as core:
        assert await core.ended(kept, goes_on.id) == resources_pb2.OPERATION_STATE_SUCCEEDED
        for operation in stopped:
            assert await core.ended(kept, operation.id) == resources_pb2.OPERATION_STATE_CANCELLED
        # The core relays what it recorded to auth a moment later.
        wanted = sorted(f"operation:{each.id}" for each in stopped)
        async with asyncio.timeout(20):
            while sorted(await scene.stopped_in_the_log()) != wanted:
                await asyncio.sleep(0.05)
    assert await scene.sandbox.sender_requests("python-hebdo") == []
