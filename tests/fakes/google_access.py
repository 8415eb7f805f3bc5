"""Google in memory, for every grant that a test knows."""

from dataclasses import dataclass, field

import orjson

from services.common.errors import AppError, invalid, precondition
from services.mail_core.ports import Calendar, Gmail, GoogleGrant, Priority
from tests.fakes.calendar import FakeCalendar
from tests.fakes.gmail import FakeGmail, FakeMailbox


def grant(refresh_token: str = "refresh-1") -> GoogleGrant:
    """A grant as the personal agent leaves it."""
    return GoogleGrant("client", "secret", refresh_token, "https://oauth2.googleapis.com/token", ())


@dataclass
class FakeGoogle:
    """The GoogleAccess port: mailboxes and calendars by refresh token. An unknown one is revoked."""

    mailboxes: dict[str, FakeMailbox] = field(default_factory=lambda: {"refresh-1": FakeMailbox()})
    calendars: dict[str, FakeCalendar] = field(default_factory=lambda: {"refresh-1": FakeCalendar()})
    opened: list[tuple[str, Priority]] = field(default_factory=list)

    def read_grant(self, token_json: str) -> GoogleGrant:
        try:
            return grant(orjson.loads(token_json)["refresh_token"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise invalid(
                "TOKEN_FILE_INVALID", "The token file cannot be used.", field="token_json"
            ) from None

    def gmail(self, grant: GoogleGrant, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        self.opened.append((grant.refresh_token, priority))
        return FakeGmail(self.mailboxes.get(grant.refresh_token) or FakeMailbox(trouble=_revoked()))

    def calendar(self, grant: GoogleGrant) -> Calendar:
        return self.calendars.get(grant.refresh_token) or FakeCalendar(trouble=_revoked())


def _revoked() -> AppError:
    return precondition("GMAIL_GRANT_REVOKED", "Google no longer accepts the grant of this mailbox.")
