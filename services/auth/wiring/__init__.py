"""The one place where auth is put together."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from services.auth.adapters.audit_checkpoint_file import CheckpointFile
from services.auth.adapters.audit_checkpoints_postgres import PostgresCheckpoints
from services.auth.adapters.audit_key_file import FileAuditKeys
from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.environment_secrets import EnvironmentSecrets
from services.auth.adapters.postgres_revocations import PostgresRevocations
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.audit_ports import CheckpointLog
from services.auth.domain.api_key import key_root
from services.auth.domain.revocation import read_cursor
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.adapters.postgres_upkeep import PostgresEnded
from services.auth.oauth.operations.upkeep import RemoveEnded, removing_ended
from services.auth.oauth.wiring import OAuth, Parts, oauth_built, oauth_serving
from services.auth.operations.audit_checkpoints import Pace, SignCheckpoints, signing
from services.auth.operations.audit_log import Checkpoints
from services.auth.operations.audit_upkeep import Retention, audit_upkeep
from services.auth.servicer import told_from
from services.auth.settings import AuthSettings, describe
from services.auth.wiring.groundwork import Files, Groundwork, Stores, now
from services.auth.wiring.issuing import issuing
from services.auth.wiring.services import services_of
from services.common.audit_notes import RefusalNotes
from services.common.backend_process import Built
from services.common.background import in_background
from services.common.configured import configured
from services.common.context import Call
from services.common.dispatch import Dispatcher, OnDenied
from services.common.errors import AppError, Kind
from services.common.grpc_server import GrpcServer
from services.common.identity import PassportVerifier
from services.common.key_changes import recording_key_changes
from services.common.lifecycle import join_address, split_address
from services.common.policy import Policy
from services.common.revocations import RevocationFollower, RevokedSubjects
from services.common.telemetry import get_logger
from services.common.tls import TlsFiles

SERVICE: Final = "auth"
"""Our name, which is also the audience of passports that are for us."""
_PROBE_TIMEOUT_S: Final = 2.0


@contextlib.asynccontextmanager
async def built(settings: AuthSettings) -> AsyncIterator[Built]:
    """Build auth and close what it opened. Nothing listens yet. Raises SystemExit for a bad key file."""
    files, pace = Files.of(settings), Pace(settings.audit_checkpoint_s)
    get_logger().info("configured", **describe(settings))
    async with contextlib.AsyncExitStack() as stack:
        stores = Stores.of(settings, pace)
        stack.push_async_callback(stores.database.close)
        ground = Groundwork.of(settings, files, stores)
        revoked = await stack.enter_async_context(_following_revocations(ground))
        signed = await stack.enter_async_context(_signing_checkpoints(ground, pace))
        await stack.enter_async_context(_upkeep(ground))
        oauth = await _oauth(ground, stack)
        in_use = _keys_in_use(files, oauth)
        await stack.enter_async_context(recording_key_changes(SERVICE, in_use, ground.notes.note))
        verifier = PassportVerifier(SERVICE, files.passport_keys.find, revoked)
        server = GrpcServer(
            Dispatcher(SERVICE, verifier, _denials(ground.notes)),
            TlsFiles.of(settings),
            services_of(ground, issuing(ground, oauth, stack), oauth, signed),
        )
        addresses = await _serve_oauth(settings, oauth, stack)
        yield Built(server, lambda: _is_ready(stores.teams), stores.revocations.close, addresses)


@contextlib.asynccontextmanager
async def _following_revocations(ground: Groundwork) -> AsyncIterator[RevokedSubjects]:
    """Know what was revoked, and revoke what is taken out of the operator's files, until the block ends."""
    revocations, revoked = ground.stores.revocations, RevokedSubjects()
    follower = RevocationFollower(lambda cursor: told_from(revocations, read_cursor(cursor)), revoked)
    async with (
        revocations.listening(),
        follower.following(),
        _revoking_removed(ground.files.environment, revocations, ground.stores.audit),
    ):
        yield revoked


@contextlib.asynccontextmanager
async def _signing_checkpoints(ground: Groundwork, pace: Pace) -> AsyncIterator[Checkpoints]:
    """Sign checkpoints of the audit log until the block ends, where there is a key for it."""
    keys = ground.files.audit_keys
    signed = Checkpoints(PostgresCheckpoints(ground.stores.database), keys)
    if keys is None:
        yield signed
        return
    sign = _checkpoint_signing(ground.settings, signed.log, keys)
    async with signing(sign, pace):
        yield replace(signed, seen=lambda: sign.seen)


def _checkpoint_signing(settings: AuthSettings, log: CheckpointLog, keys: FileAuditKeys) -> SignCheckpoints:
    copies = settings.audit_checkpoint_file
    return SignCheckpoints(
        log,
        keys,
        now,
        timedelta(days=settings.audit_retention_days),
        CheckpointFile(copies) if copies is not None else None,
    )


@contextlib.asynccontextmanager
async def _revoking_removed(
    environment: EnvironmentSecrets, revocations: PostgresRevocations, audit: PostgresAudit
) -> AsyncIterator[None]:
    """Revoke what is taken out of the operator's files, until the block ends."""

    async def revoke(key_id: str) -> None:
        await revocations.add(audit, DEFAULT_TEAM_ID, key_root(key_id))

    async with in_background(environment.keep_revoking(revoke)):
        yield


@contextlib.asynccontextmanager
async def _upkeep(ground: Groundwork) -> AsyncIterator[None]:
    """Write counts of refusals, and remove what has ended, until the block ends."""
    retention = Retention(ground.stores.audit, ground.settings.audit_retention_days)
    async with audit_upkeep(ground.notes, retention):
        await ground.notes.note(configured(SERVICE, ground.settings))
        async with removing_ended(RemoveEnded(PostgresEnded(ground.stores.database))):
            yield


def _keys_in_use(files: Files, oauth: OAuth | None) -> dict[str, Callable[[], str]]:
    """Say which key signs, by what it is for."""
    in_use = {"passports": lambda: files.passport_keys.public[0].id}
    if (audit_keys := files.audit_keys) is not None:
        in_use["checkpoints"] = lambda: audit_keys.signing_id
    if oauth is not None:
        in_use["access_tokens"] = oauth.signing_key_id
    return in_use


async def _oauth(ground: Groundwork, stack: contextlib.AsyncExitStack) -> OAuth | None:
    if not ground.settings.has_oauth:
        return None
    # Imported only when used, as the HTTP client of JWKS is.
    from services.auth.adapters.jwks_issuer import ALGORITHMS, JwksIssuer

    parts = Parts(
        ground.stores.database,
        ground.stores.teams,
        ground.stores.audit,
        ground.check_api_key,
        ground.notes,
        ground.stores.grants,
        ground.files.environment,
        lambda url: JwksIssuer(url, ALGORITHMS, time.monotonic),
    )
    return await stack.enter_async_context(oauth_built(ground.settings, parts))


async def _serve_oauth(
    settings: AuthSettings, oauth: OAuth | None, stack: contextlib.AsyncExitStack
) -> dict[str, str]:
    """Listen for OAuth when there is a server for it; gives where, for whoever waits for us to be ready."""
    if oauth is None:
        return {}
    host, port = split_address(settings.oauth_listen)
    bound = await stack.enter_async_context(oauth_serving(oauth, host, port, settings.drain_s))
    return {"oauth": join_address(host, bound)}


def _denials(notes: RefusalNotes) -> OnDenied:
    async def note(policy: Policy, call: Call, error: AppError) -> None:
        # A refused credential is noted by who refused it, who knows more of it.
        if policy.name != "IssuePassport" or error.kind is not Kind.UNAUTHENTICATED:
            await notes.denied(policy, call, error)

    return note


async def _is_ready(teams: PostgresTeams) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await teams.is_ready()
    except TimeoutError:
        return False
