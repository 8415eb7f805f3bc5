"""Opens a mailbox's sealed grant and what it gives access to."""

from dataclasses import dataclass

from services.common.errors import precondition
from services.common.sealing import GRANT_COLUMN, Place, Sealer, SealError
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.records import Mailbox, MailboxState
from services.mail_core.ports import Calendar, Gmail, GoogleAccess, GoogleGrant, Priority

REVOKED = "GMAIL_GRANT_REVOKED"


@dataclass(frozen=True, slots=True)
class GoogleGrants:
    """Grants at rest are sealed for their team; in memory they live as long as the work that needs them."""

    sealer: Sealer
    google: GoogleAccess

    async def seal(self, token_json: str, team_id: TeamId) -> bytes:
        """Seal a token file for a team."""
        return await self.sealer.seal(token_json.encode(), Place(team_id, GRANT_COLUMN))

    async def gmail(self, mailbox: Mailbox, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        """Open a mailbox. Raises FAILED_PRECONDITION GMAIL_GRANT_REVOKED, GRANT_UNREADABLE."""
        return self.google.gmail(await self._open(mailbox), priority)

    async def calendar(self, mailbox: Mailbox) -> Calendar:
        """Open the calendars of a mailbox's owner. Raises as `gmail`."""
        return self.google.calendar(await self._open(mailbox))

    async def _open(self, mailbox: Mailbox) -> GoogleGrant:
        check_grant(mailbox)
        try:
            place = Place(mailbox.team_id, GRANT_COLUMN)
            token_json = (await self.sealer.open(mailbox.grant_sealed, place)).decode()
        except SealError:
            raise precondition(
                "GRANT_UNREADABLE", "The stored grant cannot be opened with this server's master key."
            ) from None
        return self.google.read_grant(token_json)


def check_grant(mailbox: Mailbox) -> None:
    """Refuse work on a mailbox whose grant Google no longer accepts. Raises GMAIL_GRANT_REVOKED."""
    if mailbox.state is MailboxState.GRANT_REVOKED:
        raise precondition(REVOKED, "Google no longer accepts the grant: connect the mailbox again.")
