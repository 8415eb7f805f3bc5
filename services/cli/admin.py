"""What an operator asks of a running system, known to it by the `cli` certificate."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2, mail_pb2_grpc
from services.cli.failure import Failure
from services.common.audit import SYSTEM_TEAM_ID
from services.common.audit_proto import line_of
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.tls import TlsFiles

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class PersonalAgentFiles:
    """Contents of the personal agent's files; all but the first may be empty."""

    token_json: str = field(repr=False)
    unsubscribed_methods_json: str = ""
    sent_unsubscribe_links_json: str = ""


@dataclass(frozen=True, slots=True)
class Operator:
    """Where the two backends are, and who we are to them."""

    auth_address: str
    mail_core_address: str
    tls: TlsFiles

    async def create_key(self, request: auth_pb2.CreateApiKeyRequest) -> auth_pb2.CreateApiKeyResponse:
        """Make an API key."""
        async with self.auth() as auth:
            return await auth.CreateApiKey(request)

    async def export_audit(self, team_id: str, action: str) -> AsyncIterator[bytes]:
        """Read a team's audit log, or that of what belongs to none, as lines of JSON."""
        wanted = auth_pb2.ExportAuditRequest(team_id=team_id, filter=auth_pb2.AuditFilter(action=action))
        async with self.auth() as auth:
            async for answer in auth.ExportAudit(wanted):
                yield line_of(answer.event, team_id or SYSTEM_TEAM_ID)

    async def verify_audit(self, team_id: str = "") -> AsyncIterator[auth_pb2.VerifyAuditResponse]:
        """Compute the chains of the audit log again, one team's or all; gives what was found in each."""
        async with self.auth() as auth:
            async for chain in auth.VerifyAudit(auth_pb2.VerifyAuditRequest(team_id=team_id)):
                yield chain

    async def checkpoints(
        self, after: int = 0, *, newest_only: bool = False
    ) -> AsyncIterator[auth_pb2.ExportCheckpointsResponse]:
        """Read the signed checkpoints of the audit log; the first answer holds the keys that verify them."""
        wanted = auth_pb2.ExportCheckpointsRequest(after_number=after, newest_only=newest_only)
        async with self.auth() as auth:
            async for answer in auth.ExportCheckpoints(wanted):
                yield answer

    @contextlib.asynccontextmanager
    async def auth(self) -> AsyncIterator[Any]:
        """Ask auth: gives a stub of AuthAdminService. Raises Failure with what auth says."""
        async with self._channel(self.auth_address, "auth") as channel:
            yield auth_pb2_grpc.AuthAdminServiceStub(channel)

    @contextlib.asynccontextmanager
    async def mail_admin(self) -> AsyncIterator[Any]:
        """Ask the mail core: gives a stub of MailAdminService. Raises Failure with what it says."""
        async with self._channel(self.mail_core_address, "mail_core") as channel:
            yield mail_pb2_grpc.MailAdminServiceStub(channel)

    async def team(self, team_id: str = "") -> auth_pb2.Team:
        """Find a team; the default one when none is named. Raises Failure when there is no such team."""
        async with self.auth() as auth:
            if not team_id:
                return (await auth.GetDefaultTeam(auth_pb2.GetDefaultTeamRequest())).team
            request = auth_pb2.ListTeamsRequest(page_size=_PAGE)
            while True:
                answer = await auth.ListTeams(request)
                for team in answer.teams:
                    if team.id == team_id:
                        return team
                if not answer.next_page_token:
                    raise Failure(f"there is no team {team_id}; `mailwarden team list` shows those there are")
                request.page_token = answer.next_page_token

    async def import_mailbox(
        self, files: PersonalAgentFiles, *, team_id: str = "", label: str | None = None
    ) -> mail_pb2.ImportMailboxResponse:
        """Connect a mailbox to a team from the content of the personal agent's files."""
        team = await self.team(team_id)
        request = mail_pb2.ImportMailboxRequest(
            team_id=team.id,
            token_json=files.token_json,
            unsubscribed_methods_json=files.unsubscribed_methods_json,
            sent_unsubscribe_links_json=files.sent_unsubscribe_links_json,
            max_mailboxes=team.limits.max_mailboxes,
            label=label,
        )
        async with self._channel(self.mail_core_address, "mail_core") as channel:
            return await mail_pb2_grpc.MailAdminServiceStub(channel).ImportMailbox(request)

    @contextlib.asynccontextmanager
    async def _channel(self, address: str, audience: str) -> AsyncIterator[Channel]:
        channel = Channel(address, audience, self.tls)
        try:
            yield channel
        except AppError as error:
            raise Failure(f"{audience} at {address} says: {error.message} ({error.reason})") from error
        finally:
            await channel.close()
