"""Auth's methods: protobuf in, operations, protobuf out. Who may call them is the dispatcher's business."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.auth import presenting
from services.auth.audit_servicer import event_of, query_of, verdict_to_proto
from services.auth.domain.ids import as_uuid
from services.auth.domain.revocation import CaughtUp, read_cursor, write_cursor
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.grants_servicer import GrantOperations
from services.auth.operations.audit_checkpoints import ReadCheckpoints
from services.auth.operations.audit_log import ReadAudit, VerifyAudit
from services.auth.operations.check_right import CheckRight
from services.auth.operations.create_api_key import CreateApiKey
from services.auth.operations.issue_passport import IssuePassport, Presented
from services.auth.operations.note_refusal import NoteRefusal
from services.auth.ports import PassportKeys, Revocations, Teams
from services.auth.team_servicer import KeyOperations, OperatorServicer, TeamOperations
from services.common.audit import SYSTEM_TEAM_ID
from services.common.context import Call
from services.common.errors import AppError, Kind, invalid


@dataclass(frozen=True, slots=True)
class AuthServicer:
    """`mailwarden.auth.v1.AuthService`."""

    issue: IssuePassport
    passport_keys: PassportKeys
    teams: Teams
    revocations: Revocations
    note_refusal: NoteRefusal
    check: CheckRight

    async def issue_passport(
        self, request: auth_pb2.IssuePassportRequest, call: Call
    ) -> auth_pb2.IssuePassportResponse:
        """Exchange a credential for a passport."""
        kind = request.WhichOneof("credential") or "api_key"
        secret = request.bearer if kind == "bearer" else request.api_key
        presented = Presented(kind, secret, request.resource)
        try:
            passport = await self.issue(presented, request.audience, call.peer)
        except AppError as error:
            if error.kind is Kind.UNAUTHENTICATED:
                await self.note_refusal(presented.secret, request.audience, error)
            raise
        return auth_pb2.IssuePassportResponse(passport=presenting.passport(passport))

    async def list_passport_keys(
        self, request: auth_pb2.ListPassportKeysRequest, call: Call
    ) -> auth_pb2.ListPassportKeysResponse:
        """Publish the keys that passports are signed with."""
        del request, call
        return auth_pb2.ListPassportKeysResponse(jwks_json=self.passport_keys.public_jwks())

    async def get_me(self, request: auth_pb2.GetMeRequest, call: Call) -> auth_pb2.GetMeResponse:
        """Tell the caller who they are. The team is told as it is today, not as the passport has it."""
        del request
        caller = call.require_caller()
        team = await self.teams.get(caller.team_id)
        return auth_pb2.GetMeResponse(caller=presenting.caller(caller, presenting.team(team)))

    async def check_right(
        self, request: auth_pb2.CheckRightRequest, call: Call
    ) -> auth_pb2.CheckRightResponse:
        """Say whether a right that was used some time ago still stands."""
        del call
        issued_at = presenting.instant(request.issue_time, "issue_time")
        state = await self.check(request.roots, issued_at)
        return auth_pb2.CheckRightResponse(state=f"RIGHT_STATE_{state.upper()}")

    async def watch_revocations(
        self, request: auth_pb2.WatchRevocationsRequest, call: Call
    ) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        """Tell what was revoked, and go on telling."""
        del call
        async for told in told_from(self.revocations, read_cursor(request.cursor)):
            yield told


class AuthAdminServicer(OperatorServicer):
    """`mailwarden.auth.v1.AuthAdminService`."""

    def __init__(
        self,
        teams: TeamOperations,
        keys: KeyOperations,
        grants: GrantOperations,
        create: CreateApiKey,
        *,
        read_audit: ReadAudit,
        verify_audit: VerifyAudit,
        read_checkpoints: ReadCheckpoints,
    ) -> None:
        super().__init__(teams, keys, grants, create)
        self._teams_found = teams.create.teams
        self._read_audit = read_audit
        self._verify_audit = verify_audit
        self._read_checkpoints = read_checkpoints

    async def get_default_team(
        self, request: auth_pb2.GetDefaultTeamRequest, call: Call
    ) -> auth_pb2.GetDefaultTeamResponse:
        """Find the default team."""
        del request, call
        team = await self._teams_found.get(DEFAULT_TEAM_ID)
        return auth_pb2.GetDefaultTeamResponse(team=presenting.team(team))

    async def export_audit(
        self, request: auth_pb2.ExportAuditRequest, call: Call
    ) -> AsyncIterator[auth_pb2.ExportEventsResponse]:
        """Stream the events of any chain."""
        del call
        team_id = as_uuid(request.team_id or SYSTEM_TEAM_ID)
        if team_id is None:
            raise invalid("TEAM_ID_INVALID", "team_id must be a UUID.", field="team_id")
        async for row in self._read_audit.export(team_id, query_of(request.filter, request.filter.actor)):
            yield auth_pb2.ExportEventsResponse(event=event_of(row))

    async def verify_audit(
        self, request: auth_pb2.VerifyAuditRequest, call: Call
    ) -> AsyncIterator[auth_pb2.VerifyAuditResponse]:
        """Compute chains again."""
        del call
        async for verdict in self._verify_audit(request.team_id):
            yield verdict_to_proto(verdict)

    async def export_checkpoints(
        self, request: auth_pb2.ExportCheckpointsRequest, call: Call
    ) -> AsyncIterator[auth_pb2.ExportCheckpointsResponse]:
        """Stream signed checkpoints, and first the keys that verify them."""
        del call
        read = self._read_checkpoints
        yield auth_pb2.ExportCheckpointsResponse(verifier_keys=read.verifier_keys())
        async for note in read.notes(request.after_number, newest_only=request.newest_only):
            yield auth_pb2.ExportCheckpointsResponse(note=note)


async def told_from(
    revocations: Revocations, cursor: int
) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
    """Follow the log as the stream of the contract."""
    async for entry in revocations.watch(cursor):
        if isinstance(entry, CaughtUp):
            yield auth_pb2.WatchRevocationsResponse(cursor=write_cursor(entry.cursor))
            continue
        stamp = Timestamp()
        stamp.FromDatetime(entry.revoked_at)
        yield auth_pb2.WatchRevocationsResponse(
            subject=entry.subject, revoke_time=stamp, cursor=write_cursor(entry.cursor)
        )
