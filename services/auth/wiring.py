"""The one place where auth is put together."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from protos.auth.v1 import auth_pb2
from services.auth.adapters.audit_checkpoint_file import CheckpointFile
from services.auth.adapters.audit_checkpoints_postgres import PostgresCheckpoints
from services.auth.adapters.audit_key_file import FileAuditKeys, UnusableAuditKeyError
from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.environment_secrets import EnvironmentSecrets
from services.auth.adapters.file_passport_keys import FilePassportKeys, UnusableKeyError
from services.auth.adapters.postgres_keys import PostgresKeys
from services.auth.adapters.postgres_revocations import PostgresRevocations
from services.auth.adapters.postgres_rights import PostgresRevokedRights
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.audit_ports import CheckpointLog
from services.auth.audit_servicer import AuditServicer
from services.auth.domain.api_key import key_root
from services.auth.domain.revocation import read_cursor
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.grants_servicer import GrantOperations
from services.auth.oauth.adapters.postgres_blocked import PostgresBlockedClients
from services.auth.oauth.adapters.postgres_clients import PostgresClients
from services.auth.oauth.adapters.postgres_grants import PostgresGrants
from services.auth.oauth.adapters.postgres_upkeep import PostgresEnded
from services.auth.oauth.operations.upkeep import RemoveEnded, removing_ended
from services.auth.oauth.wiring import OAuth, Parts, oauth_built, oauth_serving
from services.auth.operations.audit_checkpoints import Pace, ReadCheckpoints, SignCheckpoints, signing
from services.auth.operations.audit_log import Checkpoints, ReadAudit, TakeOverEvents, VerifyAudit
from services.auth.operations.audit_upkeep import Retention, audit_upkeep
from services.auth.operations.block_clients import BlockClient, ListBlockedClients, UnblockClient
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.operations.check_foreign_token import CheckForeignToken
from services.auth.operations.check_right import CheckRight
from services.auth.operations.check_token import CheckToken
from services.auth.operations.create_api_key import CreateApiKey, MakeKey
from services.auth.operations.create_key import CreateKey
from services.auth.operations.govern_grants import ListClients, ListGrants, RevokeClient, RevokeGrant
from services.auth.operations.govern_teams import CreateTeam, ListTeams, UpdateTeam
from services.auth.operations.issue_passport import IssuePassport
from services.auth.operations.list_keys import ListKeys
from services.auth.operations.note_refusal import NoteRefusal
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.auth.operations.revoke_key import RevokeKey
from services.auth.operations.revoke_token import RevokeToken
from services.auth.operations.rotate_key import RotateKey
from services.auth.servicer import AuthAdminServicer, AuthServicer, told_from
from services.auth.settings import AuthSettings, describe
from services.auth.team_servicer import KeyOperations, TeamOperations, TeamServicer
from services.common.audit_notes import RefusalNotes
from services.common.backend_process import Built
from services.common.background import in_background
from services.common.configured import configured
from services.common.context import Call
from services.common.database import Database
from services.common.dispatch import Dispatcher, OnDenied
from services.common.errors import AppError, Kind
from services.common.grpc_server import GrpcServer, Service
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


@dataclass(frozen=True, slots=True)
class Files:
    """What an operator keeps in files, read again when they change."""

    passport_keys: FilePassportKeys
    audit_keys: FileAuditKeys | None
    environment: EnvironmentSecrets

    @classmethod
    def of(cls, settings: AuthSettings) -> "Files":
        """Read them. Raises SystemExit for a bad key file."""
        return cls(_passport_keys(settings), _audit_keys(settings), EnvironmentSecrets(settings))


@dataclass(frozen=True, slots=True)
class Stores:
    """What auth keeps: one database, by what is asked of it."""

    database: Database
    audit: PostgresAudit
    keys: PostgresKeys
    teams: PostgresTeams
    revocations: PostgresRevocations
    grants: PostgresGrants
    rights: PostgresRevokedRights

    @classmethod
    def of(cls, settings: AuthSettings, pace: Pace) -> "Stores":
        """Make them. No connection is opened yet; `pace` hears of every event of the audit log."""
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        audit = PostgresAudit(database, pace.note)
        return cls(
            database=database,
            audit=audit,
            keys=PostgresKeys(database),
            teams=PostgresTeams(database, audit),
            revocations=PostgresRevocations(database, settings.database_url),
            grants=PostgresGrants(database, audit),
            rights=PostgresRevokedRights(database, audit),
        )


@dataclass(frozen=True, slots=True)
class Groundwork:
    """What everything else of auth stands on."""

    settings: AuthSettings
    files: Files
    stores: Stores
    notes: RefusalNotes
    check_api_key: CheckApiKey

    @classmethod
    def of(cls, settings: AuthSettings, files: Files, stores: Stores) -> "Groundwork":
        """Lay it."""
        check_api_key = CheckApiKey(files.environment, stores.keys, stores.teams, _now)
        return cls(settings, files, stores, RefusalNotes(stores.audit.append), check_api_key)


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
            _services(ground, _issuing(ground, oauth, stack), oauth, signed),
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


def _issuing(ground: Groundwork, oauth: OAuth | None, stack: contextlib.AsyncExitStack) -> IssuePassport:
    return IssuePassport(
        modes=ground.settings.modes,
        check_api_key=ground.check_api_key,
        check_token=_token_check(ground, stack),
        passport_keys=ground.files.passport_keys,
        clock=_now,
        check_access_token=oauth.check if oauth is not None else None,
        check_foreign_token=_foreign_token_check(ground, stack),
    )


def _services(
    ground: Groundwork, issue: IssuePassport, oauth: OAuth | None, signed: Checkpoints
) -> list[Service]:
    stores = ground.stores
    handlers = {
        "AuthService": AuthServicer(
            issue,
            ground.files.passport_keys,
            stores.teams,
            stores.revocations,
            NoteRefusal(stores.keys, ground.notes),
            CheckRight(stores.revocations, _now),
        ),
        "AuditService": AuditServicer(
            ReadAudit(stores.audit), TakeOverEvents(stores.audit, _now), ground.settings.audit_retention_days
        ),
        **_team_handlers(stores, _grant_operations(stores, _revoke_token(ground, oauth)), signed),
    }
    described = auth_pb2.DESCRIPTOR.services_by_name
    return [Service(described[name], handler) for name, handler in handlers.items()]


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


def _revoke_token(ground: Groundwork, oauth: OAuth | None) -> RevokeToken:
    settings, stores = ground.settings, ground.stores
    foreign_teams = set[str]()
    if settings.modes.any_takes_tokens:
        foreign_teams.add(DEFAULT_TEAM_ID)
    if settings.has_introspection:
        foreign_teams.add(settings.mcp_oauth_team_id)
    read_own = None if oauth is None else oauth.check.read
    return RevokeToken(stores.teams, stores.rights, stores.grants, read_own, frozenset(foreign_teams), _now)


def _grant_operations(stores: Stores, revoke_token: RevokeToken) -> GrantOperations:
    grants, teams = stores.grants, stores.teams
    blocked = PostgresBlockedClients(stores.database, stores.audit)
    return GrantOperations(
        ListGrants(grants, teams),
        RevokeGrant(grants, teams, _now),
        ListClients(grants, teams, _now),
        RevokeClient(grants, PostgresClients(stores.database, stores.audit), teams, _now),
        revoke_token,
        BlockClient(blocked, grants, teams, _now),
        UnblockClient(blocked),
        ListBlockedClients(blocked),
    )


def _team_handlers(stores: Stores, of_grants: GrantOperations, signed: Checkpoints) -> dict[str, object]:
    keys, teams = stores.keys, stores.teams
    make = MakeKey(_now, secrets.token_bytes)
    of_keys = KeyOperations(ListKeys(keys, teams), RotateKey(teams, make, _now), RevokeKey(teams, _now))
    of_teams = TeamOperations(CreateTeam(teams, _now), UpdateTeam(teams, _now), ListTeams(teams))
    return {
        "TeamService": TeamServicer(teams, keys, of_keys, of_grants, CreateKey(teams, make, _now), _now),
        "AuthAdminService": AuthAdminServicer(
            of_teams,
            of_keys,
            of_grants,
            CreateApiKey(teams, make),
            read_audit=ReadAudit(stores.audit),
            verify_audit=VerifyAudit(stores.audit, signed),
            read_checkpoints=ReadCheckpoints(signed.log, signed.keys),
        ),
    }


async def _is_ready(teams: PostgresTeams) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await teams.is_ready()
    except TimeoutError:
        return False


@contextlib.asynccontextmanager
async def _revoking_removed(
    environment: EnvironmentSecrets, revocations: PostgresRevocations, audit: PostgresAudit
) -> AsyncIterator[None]:
    """Revoke what is taken out of the operator's files, until the block ends."""

    async def revoke(key_id: str) -> None:
        await revocations.add(audit, DEFAULT_TEAM_ID, key_root(key_id))

    async with in_background(environment.keep_revoking(revoke)):
        yield


def _passport_keys(settings: AuthSettings) -> FilePassportKeys:
    files = (settings.passport_key_file, settings.passport_key_previous_file)
    try:
        return FilePassportKeys.load(*files, may_create=not settings.is_production)
    except UnusableKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def _audit_keys(settings: AuthSettings) -> FileAuditKeys | None:
    if settings.audit_key_file is None:
        get_logger().warning("audit_not_signed")
        return None
    try:
        return FileAuditKeys.load(settings.audit_key_file, may_create=not settings.is_production)
    except UnusableAuditKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def _checkpoint_signing(settings: AuthSettings, log: CheckpointLog, keys: FileAuditKeys) -> SignCheckpoints:
    copies = settings.audit_checkpoint_file
    return SignCheckpoints(
        log,
        keys,
        _now,
        timedelta(days=settings.audit_retention_days),
        CheckpointFile(copies) if copies is not None else None,
    )


def _token_check(ground: Groundwork, stack: contextlib.AsyncExitStack) -> CheckToken | None:
    settings, teams = ground.settings, ground.stores.teams
    if not settings.modes.any_takes_tokens:
        return None
    refuse_revoked = RefuseRevoked(ground.stores.rights, settings.token_rules.leeway_s)
    if not settings.auth_jwt_jwks_url:
        return CheckToken(ground.files.environment, settings.token_rules, teams, refuse_revoked, _now)
    # Imported only when used: an HTTP client in every process that fetches nothing would be a waste.
    from services.auth.adapters.jwks_issuer import JwksIssuer

    issuer = JwksIssuer(settings.auth_jwt_jwks_url, settings.jwt_algorithms, time.monotonic)
    stack.push_async_callback(issuer.close)
    return CheckToken(issuer, settings.token_rules, teams, refuse_revoked, _now)


def _foreign_token_check(ground: Groundwork, stack: contextlib.AsyncExitStack) -> CheckForeignToken | None:
    settings, environment = ground.settings, ground.files.environment
    if not settings.has_introspection:
        return None
    # Imported only when used, as the HTTP client of JWKS is.
    from services.auth.adapters.introspection import IntrospectionEndpoint

    endpoint = IntrospectionEndpoint(
        settings.mcp_oauth_introspection_url,
        settings.mcp_oauth_timeout_seconds,
        settings.mcp_oauth_client_id,
        settings.introspection_secret,
    )
    stack.push_async_callback(endpoint.close)
    return CheckForeignToken(
        introspect=endpoint,
        rules=replace(settings.introspection_rules, leeway_s=settings.auth_jwt_leeway_s),
        team_id=settings.mcp_oauth_team_id,
        teams=ground.stores.teams,
        refuse_revoked=RefuseRevoked(ground.stores.rights, settings.auth_jwt_leeway_s),
        environment=environment,
        own_secrets=environment,
        clock=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)
