"""The gRPC services of auth."""

import secrets

from protos.auth.v1 import auth_pb2
from services.auth.audit_servicer import AuditServicer
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.grants_servicer import GrantOperations
from services.auth.oauth.adapters.postgres_blocked import PostgresBlockedClients
from services.auth.oauth.adapters.postgres_clients import PostgresClients
from services.auth.oauth.wiring import OAuth
from services.auth.operations.audit_checkpoints import ReadCheckpoints
from services.auth.operations.audit_log import Checkpoints, ReadAudit, TakeOverEvents, VerifyAudit
from services.auth.operations.block_clients import BlockClient, ListBlockedClients, UnblockClient
from services.auth.operations.check_right import CheckRight
from services.auth.operations.create_api_key import CreateApiKey, MakeKey
from services.auth.operations.create_key import CreateKey
from services.auth.operations.govern_grants import ListClients, ListGrants, RevokeClient, RevokeGrant
from services.auth.operations.govern_teams import CreateTeam, ListTeams, UpdateTeam
from services.auth.operations.issue_passport import IssuePassport
from services.auth.operations.list_keys import ListKeys
from services.auth.operations.note_refusal import NoteRefusal
from services.auth.operations.revoke_key import RevokeKey
from services.auth.operations.revoke_token import RevokeToken
from services.auth.operations.rotate_key import RotateKey
from services.auth.servicer import AuthAdminServicer, AuthServicer
from services.auth.team_servicer import KeyOperations, TeamOperations, TeamServicer
from services.auth.wiring.groundwork import Groundwork, Stores, now
from services.common.grpc_server import Service


def services_of(
    ground: Groundwork, issue: IssuePassport, oauth: OAuth | None, signed: Checkpoints
) -> list[Service]:
    """Put the gRPC services together."""
    stores = ground.stores
    handlers = {
        "AuthService": AuthServicer(
            issue,
            ground.files.passport_keys,
            stores.teams,
            stores.revocations,
            NoteRefusal(stores.keys, ground.notes),
            CheckRight(stores.revocations, now),
        ),
        "AuditService": AuditServicer(
            ReadAudit(stores.audit), TakeOverEvents(stores.audit, now), ground.settings.audit_retention_days
        ),
        **_team_handlers(stores, _grant_operations(stores, _revoke_token(ground, oauth)), signed),
    }
    described = auth_pb2.DESCRIPTOR.services_by_name
    return [Service(described[name], handler) for name, handler in handlers.items()]


def _revoke_token(ground: Groundwork, oauth: OAuth | None) -> RevokeToken:
    settings, stores = ground.settings, ground.stores
    foreign_teams = set[str]()
    if settings.modes.any_takes_tokens:
        foreign_teams.add(DEFAULT_TEAM_ID)
    if settings.has_introspection:
        foreign_teams.add(settings.mcp_oauth_team_id)
    read_own = None if oauth is None else oauth.check.read
    return RevokeToken(stores.teams, stores.rights, stores.grants, read_own, frozenset(foreign_teams), now)


def _grant_operations(stores: Stores, revoke_token: RevokeToken) -> GrantOperations:
    grants, teams = stores.grants, stores.teams
    blocked = PostgresBlockedClients(stores.database, stores.audit)
    return GrantOperations(
        ListGrants(grants, teams),
        RevokeGrant(grants, teams, now),
        ListClients(grants, teams, now),
        RevokeClient(grants, PostgresClients(stores.database, stores.audit), teams, now),
        revoke_token,
        BlockClient(blocked, grants, teams, now),
        UnblockClient(blocked),
        ListBlockedClients(blocked),
    )


def _team_handlers(stores: Stores, of_grants: GrantOperations, signed: Checkpoints) -> dict[str, object]:
    keys, teams = stores.keys, stores.teams
    make = MakeKey(now, secrets.token_bytes)
    of_keys = KeyOperations(ListKeys(keys, teams), RotateKey(teams, make, now), RevokeKey(teams, now))
    of_teams = TeamOperations(CreateTeam(teams, now), UpdateTeam(teams, now), ListTeams(teams))
    return {
        "TeamService": TeamServicer(teams, keys, of_keys, of_grants, CreateKey(teams, make, now), now),
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
