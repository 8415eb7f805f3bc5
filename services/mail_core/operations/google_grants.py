"""Opens a mailbox's sealed grant and what it gives access to."""

from dataclasses import dataclass

from services.common.errors import precondition
from services.common.sealing import GRANT_COLUMN, Place, Sealer, SealError
from services.common.telemetry import get_logger
from services.mail_core.domain.ids import MailboxId, TeamId
from services.mail_core.domain.records import Mailbox, MailboxState
from services.mail_core.ports import Calendar, Gmail, GoogleAccess, GoogleGrant, Priority

REVOKED = "GMAIL_GRANT_REVOKED"


@dataclass(frozen=True, slots=True)
class GoogleGrants:
    """Grants at rest are sealed for their mailbox; in memory they live as long as what needs them."""

    sealer: Sealer
    google: GoogleAccess

    async def seal(self, token_json: str, team_id: TeamId, mailbox_id: MailboxId) -> bytes:
        """Seal a token file for a mailbox. Raises AppError UNAVAILABLE MASTER_KEY_UNSETTLED."""
        return await self.sealer.seal(token_json.encode(), _place(team_id, mailbox_id))

    async def gmail(self, mailbox: Mailbox, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        """Open a mailbox. Raises FAILED_PRECONDITION GMAIL_GRANT_REVOKED, GRANT_UNREADABLE."""
        return self.google.gmail(await self._open(mailbox), priority)

    async def calendar(self, mailbox: Mailbox) -> Calendar:
        """Open the calendars of a mailbox's owner. Raises as `gmail`."""
        return self.google.calendar(await self._open(mailbox))

    async def _open(self, mailbox: Mailbox) -> GoogleGrant:
        check_grant(mailbox)
        try:
            place = _place(mailbox.team_id, mailbox.id)
            token_json = (await self.sealer.open(mailbox.grant_sealed, place)).decode()
        except SealError:
            get_logger().error("sealed_value_unreadable", column=GRANT_COLUMN, id=mailbox.id)
            raise precondition(
                "GRANT_UNREADABLE", "The stored grant cannot be opened with this server's master key."
            ) from None
        return self.google.read_grant(token_json)


def _place(team_id: TeamId, mailbox_id: MailboxId) -> Place:
    return Place(team_id, GRANT_COLUMN, mailbox_id)


def check_grant(mailbox: Mailbox) -> None:
    """Refuse work on a mailbox whose grant Google no longer accepts. Raises GMAIL_GRANT_REVOKED."""
    if mailbox.state is MailboxState.GRANT_REVOKED:
        raise precondition(REVOKED, "Google no longer accepts the grant: connect the mailbox again.")
