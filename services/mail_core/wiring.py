"""The only place that knows what is real: builds the mail core out of its settings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import resources
from typing import Final

from protos.auth.v1 import auth_pb2_grpc
from protos.mail.v1 import mail_pb2
from services.common.audit_notes import RefusalNotes
from services.common.backend_process import Built
from services.common.background import in_background
from services.common.configured import configured
from services.common.database import Database
from services.common.dispatch import Dispatcher
from services.common.egress import Egress
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.grpc_server import GrpcServer, Service
from services.common.identity import PassportVerifier
from services.common.key_changes import recording_key_changes
from services.common.link_safety import LinkPolicy
from services.common.master_key_ring import opened_master_keys
from services.common.passport_keys import PassportKeys
from services.common.revocations import RevokedSubjects, following_revocations
from services.common.sealing import AgreedKeys, Sealer, UnfitMasterKeysError
from services.common.tls import TlsFiles
from services.mail_core.adapters.audit_outbox import AuditRelay, Outbox
from services.mail_core.adapters.auth_rights import AuthRights
from services.mail_core.adapters.google_access import GoogleConfig, open_google
from services.mail_core.adapters.job_queue import JobQueue
from services.mail_core.adapters.one_click import GuardedOneClick
from services.mail_core.adapters.operation_changes import PostgresOperationChanges
from services.mail_core.adapters.postgres_master_keys import (
    KeyAgreement,
    PostgresSealedValues,
)
from services.mail_core.adapters.postgres_open_operations import PostgresOpenOperations
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.operation import OperationKind
from services.mail_core.domain.triage import Rules, parse_rules_toml
from services.mail_core.operations.ask_for_work import AskForWork
from services.mail_core.operations.await_right import AwaitRight
from services.mail_core.operations.follow_operation import FollowOperation
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.import_mailbox import ImportMailbox
from services.mail_core.operations.label_mailbox import LabelMailbox
from services.mail_core.operations.look_at_mail import LookAtMail
from services.mail_core.operations.owner_time import OwnerTime
from services.mail_core.operations.reseal_secrets import ResealSecrets
from services.mail_core.operations.run_operation import RunOperation
from services.mail_core.operations.scan_mailbox import ScanMailbox, ScanSettings
from services.mail_core.operations.stop_revoked import Revocations, StopRevoked
from services.mail_core.operations.unsubscribe import Unsubscribe
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.servicer import MailAdminServicer, MailServicer
from services.mail_core.settings import Settings

SERVICE: Final = "mail_core"
_LEAVE_S: Final = 2.0


@contextlib.asynccontextmanager
async def mail_core(settings: Settings) -> AsyncIterator[Built]:
    """Build everything, work on the queue, and take it down in reverse order at the end."""
    tls = TlsFiles.of(settings)
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    queue = JobQueue(
        settings.database_url,
        concurrency=settings.worker_concurrency,
        heartbeat_s=settings.worker_heartbeat_s,
        stalled_s=settings.worker_stalled_s,
    )
    changes = PostgresOperationChanges(settings.database_url)
    auth = Channel(settings.auth_address, "auth", tls)
    keys = PassportKeys(auth)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.push_async_callback(auth.close)
        google = await stack.enter_async_context(open_google(_google_config(settings)))
        store = PostgresStore(database, queue)
        master_keys = await stack.enter_async_context(_master_keys(settings))
        agreement = KeyAgreement(database, master_keys)
        await stack.enter_async_context(_agreeing(agreement))
        sealer = Sealer(master_keys)
        grants, targets = GoogleGrants(sealer, google), UnsubscribeTargets(sealer)
        reseal = ResealSecrets(PostgresSealedValues(database), sealer, Outbox(database).write)
        await stack.enter_async_context(changes.listening())
        run = _run_operation(settings, store, grants, targets, AwaitRight(AuthRights(auth)))
        await stack.enter_async_context(queue.working(run, settings.drain_s))
        await stack.enter_async_context(in_background(keys.keep_fresh()))
        revoked = RevokedSubjects()
        stop = StopRevoked(PostgresOpenOperations(database), store)
        await stack.enter_async_context(_stopping_revoked(stop, revoked))
        await stack.enter_async_context(following_revocations(auth, revoked))
        notes = await stack.enter_async_context(_auditing(database, auth))
        await notes.note(configured(SERVICE, settings))
        in_use = {"master_key": lambda: master_keys.current_key_id}
        await stack.enter_async_context(recording_key_changes(SERVICE, in_use, notes.note))
        dispatcher = Dispatcher(SERVICE, PassportVerifier(SERVICE, keys.find, revoked), notes.denied)
        server = GrpcServer(dispatcher, tls, _services(store, grants, targets, changes, reseal))

        async def is_ready() -> bool:
            return keys.are_loaded and agreement.is_reached and await database.is_ready()

        yield Built(server, is_ready)


@contextlib.asynccontextmanager
async def _stopping_revoked(stop: StopRevoked, revoked: RevokedSubjects) -> AsyncIterator[None]:
    """Cancel what a revoked credential had asked for, until the block ends."""
    heard: Revocations = asyncio.Queue()
    revoked.on_revoked(lambda subject, at: heard.put_nowait((subject, at)))
    async with in_background(stop.keep_stopping(heard)):
        yield


@contextlib.asynccontextmanager
async def _auditing(database: Database, auth: Channel) -> AsyncIterator[RefusalNotes]:
    """Relay what is recorded to auth, and write the counts of repeated denials, until the block ends."""
    notes = RefusalNotes(Outbox(database).write)
    relay = AuditRelay(database, auth_pb2_grpc.AuditServiceStub(auth).AppendEvents)
    try:
        async with in_background(relay.run(), notes.keep_flushing()):
            yield notes
    finally:
        await notes.flush(everything=True)


@contextlib.asynccontextmanager
async def _master_keys(settings: Settings) -> AsyncIterator[AgreedKeys]:
    """Open the master keys. Raises SystemExit when their files cannot be used."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            keys = await stack.enter_async_context(opened_master_keys(settings))
        except (ValueError, OSError) as error:
            raise SystemExit(f"The configuration cannot be used:\n  master keys: {error}") from None
        yield keys


@contextlib.asynccontextmanager
async def _agreeing(agreement: KeyAgreement) -> AsyncIterator[None]:
    """Agree on the key that seals, and again until the block ends.

    Until it was agreed nothing is sealed. Raises SystemExit when our keys do not fit the database.
    """
    try:
        with contextlib.suppress(AppError):  # a database that is down: later then
            await agreement.agree()
    except UnfitMasterKeysError as error:
        raise SystemExit(f"The master keys cannot be used:\n  {error}") from None
    try:
        async with in_background(agreement.keep_agreeing()):
            yield
    finally:
        # Whoever does not hear of it waits a little longer: a database that is down must not hold us up.
        with contextlib.suppress(AppError, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await agreement.leave()


def _services(
    store: PostgresStore,
    grants: GoogleGrants,
    targets: UnsubscribeTargets,
    changes: PostgresOperationChanges,
    reseal: ResealSecrets,
) -> list[Service]:
    mail = MailServicer(
        look=LookAtMail(store, targets),
        ask=AskForWork(store, targets, now),
        follow=FollowOperation(store, targets, changes),
        owner_time=OwnerTime(store, grants, now),
        label=LabelMailbox(store),
    )
    admin = MailAdminServicer(ImportMailbox(store, grants), reseal)
    described = mail_pb2.DESCRIPTOR.services_by_name
    return [Service(described["MailService"], mail), Service(described["MailAdminService"], admin)]


def _run_operation(
    settings: Settings,
    store: PostgresStore,
    grants: GoogleGrants,
    targets: UnsubscribeTargets,
    right: AwaitRight,
) -> RunOperation:
    links = LinkPolicy.parse(settings.egress_allow)
    scan = ScanSettings(settings.gmail_query, settings.scan_max_messages, settings.triage_archive)
    return RunOperation(
        store,
        {
            OperationKind.SCAN: ScanMailbox(store, grants, targets, _rules(settings), links, scan, now),
            OperationKind.UNSUBSCRIBE: Unsubscribe(
                store, grants, targets, GuardedOneClick(Egress(policy=links)), now
            ),
        },
        right,
    )


def _google_config(settings: Settings) -> GoogleConfig:
    return GoogleConfig(
        api_endpoint=settings.google_api_endpoint,
        token_uri=settings.google_token_uri,
        quota_table=settings.gmail_quota_table,
        units_per_minute=settings.gmail_quota_units_per_minute,
    )


def _rules(settings: Settings) -> Rules:
    """Read the rules. Raises ValueError or OSError with a text that names the fault."""
    if settings.triage_rules_file is not None:
        text = settings.triage_rules_file.read_text()
    else:
        text = resources.files("services.mail_core").joinpath("triage_rules.toml").read_text()
    return parse_rules_toml(text).with_labels(settings.triage_labels)


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)
