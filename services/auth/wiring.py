"""The one place where auth is put together."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
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


@contextlib.asynccontextmanager
async def built(settings: AuthSettings) -> AsyncIterator[Built]:
    """Build auth and close what it opened. Nothing listens yet. Raises SystemExit for a bad key file."""
    passport_keys, audit_keys = _passport_keys(settings), _audit_keys(settings)
    get_logger().info("configured", **describe(settings))
    async with contextlib.AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        pace = Pace(settings.audit_checkpoint_s)
        audit = PostgresAudit(database, pace.note)
        signed = Checkpoints(PostgresCheckpoints(database), audit_keys)
        keys, teams = PostgresKeys(database), PostgresTeams(database, audit)
        revocations = PostgresRevocations(database, settings.database_url)
        await stack.enter_async_context(revocations.listening())
        revoked = RevokedSubjects()
        following = RevocationFollower(
            lambda cursor: told_from(revocations, read_cursor(cursor)), revoked
        ).following()
        await stack.enter_async_context(following)
        environment = EnvironmentSecrets(settings)
        await stack.enter_async_context(_revoking_removed(environment, revocations, audit))
        check_api_key = CheckApiKey(environment, keys, teams, _now)
        notes, grants = RefusalNotes(audit.append), PostgresGrants(database, audit)
        rights = PostgresRevokedRights(database, audit)
        in_use = {"passports": lambda: passport_keys.public[0].id}
        if audit_keys is not None:
            sign = _checkpoint_signing(settings, signed.log, audit_keys)
            signed = replace(signed, seen=lambda: sign.seen)
            in_use["checkpoints"] = lambda: audit_keys.signing_id
            await stack.enter_async_context(signing(sign, pace))
        await stack.enter_async_context(audit_upkeep(notes, Retention(audit, settings.audit_retention_days)))
        await notes.note(configured(SERVICE, settings))
        await stack.enter_async_context(removing_ended(RemoveEnded(PostgresEnded(database))))
        oauth = await _oauth(
            settings,
            stack,
            database=database,
            teams=teams,
            audit=audit,
            notes=notes,
            grants=grants,
            check_api_key=check_api_key,
            environment=environment,
        )
        if oauth is not None:
            in_use["access_tokens"] = oauth.signing_key_id
        await stack.enter_async_context(recording_key_changes(SERVICE, in_use, notes.note))
        issue = IssuePassport(
            modes=settings.modes,
            check_api_key=check_api_key,
            check_token=_token_check(settings, environment, teams, rights, stack),
            passport_keys=passport_keys,
            clock=_now,
            check_access_token=oauth.check if oauth is not None else None,
            check_foreign_token=_foreign_token_check(settings, environment, teams, rights, stack),
        )
        revoke_token = _revoke_token(settings, teams, rights, grants, oauth)
        verifier = PassportVerifier(SERVICE, passport_keys.find, revoked)
        dispatcher = Dispatcher(SERVICE, verifier, _denials(notes))
        handlers = {
            "AuthService": AuthServicer(
                issue,
                passport_keys,
                teams,
                revocations,
                NoteRefusal(keys, notes),
                CheckRight(revocations, _now),
            ),
            "AuditService": AuditServicer(
                ReadAudit(audit), TakeOverEvents(audit, _now), settings.audit_retention_days
            ),
            **_team_handlers(
                keys, teams, audit, _grant_operations(grants, teams, database, audit, revoke_token), signed
            ),
        }
        services = auth_pb2.DESCRIPTOR.services_by_name
        server = GrpcServer(
            dispatcher,
            TlsFiles.of(settings),
            [Service(services[name], handler) for name, handler in handlers.items()],
        )
        addresses = {}
        if oauth is not None:
            serving = oauth_serving(oauth, *split_address(settings.oauth_listen), settings.drain_s)
            host, _ = split_address(settings.oauth_listen)
            addresses["oauth"] = join_address(host, await stack.enter_async_context(serving))
        yield Built(server, lambda: _is_ready(teams), revocations.close, addresses)


async def _oauth(
    settings: AuthSettings,
    stack: contextlib.AsyncExitStack,
    *,
    database: Database,
    teams: PostgresTeams,
    audit: PostgresAudit,
    notes: RefusalNotes,
    grants: PostgresGrants,
    check_api_key: CheckApiKey,
    environment: EnvironmentSecrets,
) -> OAuth | None:
    if not settings.has_oauth:
        return None
    # Imported only when used, as the HTTP client of JWKS is.
    from services.auth.adapters.jwks_issuer import ALGORITHMS, JwksIssuer

    parts = Parts(
        database,
        teams,
        audit,
        check_api_key,
        notes,
        grants,
        environment,
        lambda url: JwksIssuer(url, ALGORITHMS, time.monotonic),
    )
    return await stack.enter_async_context(oauth_built(settings, parts))


def _denials(notes: RefusalNotes) -> OnDenied:
    async def note(policy: Policy, call: Call, error: AppError) -> None:
        # A refused credential is noted by who refused it, who knows more of it.
        if policy.name != "IssuePassport" or error.kind is not Kind.UNAUTHENTICATED:
            await notes.denied(policy, call, error)

    return note


def _revoke_token(
    settings: AuthSettings,
    teams: PostgresTeams,
    rights: PostgresRevokedRights,
    grants: PostgresGrants,
    oauth: OAuth | None,
) -> RevokeToken:
    foreign_teams = set[str]()
    if settings.modes.any_takes_tokens:
        foreign_teams.add(DEFAULT_TEAM_ID)
    if settings.has_introspection:
        foreign_teams.add(settings.mcp_oauth_team_id)
    read_own = None if oauth is None else oauth.check.read
    return RevokeToken(teams, rights, grants, read_own, frozenset(foreign_teams), _now)


def _grant_operations(
    grants: PostgresGrants,
    teams: PostgresTeams,
    database: Database,
    audit: PostgresAudit,
    revoke_token: RevokeToken,
) -> GrantOperations:
    blocked = PostgresBlockedClients(database, audit)
    return GrantOperations(
        ListGrants(grants, teams),
        RevokeGrant(grants, teams, _now),
        ListClients(grants, teams, _now),
        RevokeClient(grants, PostgresClients(database, audit), teams, _now),
        revoke_token,
        BlockClient(blocked, grants, teams, _now),
        UnblockClient(blocked),
        ListBlockedClients(blocked),
    )


def _team_handlers(
    keys: PostgresKeys,
    teams: PostgresTeams,
    audit: PostgresAudit,
    of_grants: GrantOperations,
    signed: Checkpoints,
) -> dict[str, object]:
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
            read_audit=ReadAudit(audit),
            verify_audit=VerifyAudit(audit, signed),
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


def _token_check(
    settings: AuthSettings,
    environment: EnvironmentSecrets,
    teams: PostgresTeams,
    rights: PostgresRevokedRights,
    stack: contextlib.AsyncExitStack,
) -> CheckToken | None:
    if not settings.modes.any_takes_tokens:
        return None
    refuse_revoked = RefuseRevoked(rights, settings.token_rules.leeway_s)
    if not settings.auth_jwt_jwks_url:
        return CheckToken(environment, settings.token_rules, teams, refuse_revoked, _now)
    # Imported only when used: an HTTP client in every process that fetches nothing would be a waste.
    from services.auth.adapters.jwks_issuer import JwksIssuer

    issuer = JwksIssuer(settings.auth_jwt_jwks_url, settings.jwt_algorithms, time.monotonic)
    stack.push_async_callback(issuer.close)
    return CheckToken(issuer, settings.token_rules, teams, refuse_revoked, _now)


def _foreign_token_check(
    settings: AuthSettings,
    environment: EnvironmentSecrets,
    teams: PostgresTeams,
    rights: PostgresRevokedRights,
    stack: contextlib.AsyncExitStack,
) -> CheckForeignToken | None:
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
        teams=teams,
        refuse_revoked=RefuseRevoked(rights, settings.auth_jwt_leeway_s),
        environment=environment,
        own_secrets=environment,
        clock=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)
