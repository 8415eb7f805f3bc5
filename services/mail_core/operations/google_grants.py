"""Opens a mailbox's sealed grant and what it gives access to."""

from dataclasses import dataclass

from services.common.errors import precondition
from services.common.sealing import Sealer, SealError
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.records import Mailbox, MailboxState
from services.mail_core.ports import Calendar, Gmail, GoogleAccess, GoogleGrant, Priority

REVOKED = "GMAIL_GRANT_REVOKED"


@dataclass(frozen=True, slots=True)
class GoogleGrants:
    """Grants at rest are sealed for their team; in memory they live as long as the work that needs them."""

    sealer: Sealer
    google: GoogleAccess

    def seal(self, token_json: str, team_id: TeamId) -> bytes:
        """Seal a token file for a team."""
        return self.sealer.seal(token_json.encode(), team_id)

    def gmail(self, mailbox: Mailbox, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        """Open a mailbox. Raises FAILED_PRECONDITION GMAIL_GRANT_REVOKED, GRANT_UNREADABLE."""
        return self.google.gmail(self._open(mailbox), priority)

    def calendar(self, mailbox: Mailbox) -> Calendar:
        """Open the calendars of a mailbox's owner. Raises as `gmail`."""
        return self.google.calendar(self._open(mailbox))

    def _open(self, mailbox: Mailbox) -> GoogleGrant:
        check_grant(mailbox)
        try:
            token_json = self.sealer.open(mailbox.grant_sealed, mailbox.team_id).decode()
        except SealError:
            raise precondition(
                "GRANT_UNREADABLE", "The stored grant cannot be opened with this server's master key."
            ) from None
        return self.google.read_grant(token_json)


def check_grant(mailbox: Mailbox) -> None:
    """Refuse work on a mailbox whose grant Google no longer accepts. Raises GMAIL_GRANT_REVOKED."""
    if mailbox.state is MailboxState.GRANT_REVOKED:
        raise precondition(REVOKED, "Google no longer accepts the grant: connect the mailbox again.")
