"""The outside world as the mail core sees it. Adapters implement these, tests fake them.

What fails outside arrives here as `AppError` with a reason that the contract names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from enum import IntEnum
from typing import Protocol

from services.mail_core.domain.attempt import AttemptOutcome
from services.mail_core.domain.availability import Interval
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.message import Message

# --- Google -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GoogleGrant:
    """What an owner's consent left us: enough to get access tokens until it is taken back."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    token_uri: str
    scopes: tuple[str, ...] = ()


class Priority(IntEnum):
    """Who goes first when the quota is short."""

    INTERACTIVE = 0
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """Whose mailbox it is, and the cursor that stands for now."""

    email_address: str
    history_id: str


@dataclass(frozen=True, slots=True)
class IdPage:
    """Ids of messages, newest first. `estimate` is Gmail's rough guess of all matches, on all pages."""

    ids: tuple[GmailMessageId, ...]
    next_page_token: str = ""
    estimate: int = 0


@dataclass(frozen=True, slots=True)
class MetadataResult:
    """What became of every id asked for: read, deleted meanwhile, or not readable after retries."""

    messages: tuple[Message, ...]
    gone_ids: tuple[GmailMessageId, ...] = ()
    failed_ids: tuple[GmailMessageId, ...] = ()


@dataclass(frozen=True, slots=True)
class NewMail:
    """Messages that came since a cursor, oldest first, and the cursor to go on from."""

    ids: tuple[GmailMessageId, ...]
    history_id: str


class HistoryExpiredError(Exception):
    """Gmail no longer knows the cursor: only a new listing finds what came since."""


class SendUnknownError(Exception):
    """The answer to a send was lost: the mail may have gone out. Never send again blindly."""


class Gmail(Protocol):
    """One mailbox in Gmail.

    Every method raises AppError: FAILED_PRECONDITION GMAIL_GRANT_REVOKED or GMAIL_REFUSED,
    RESOURCE_EXHAUSTED GMAIL_QUOTA (with the time to wait), UNAVAILABLE GMAIL_DOWN.
    """

    @property
    def units_spent(self) -> int:
        """Quota units spent through this object so far."""
        ...

    async def profile(self) -> Profile:
        """Ask whose mailbox it is. Take the cursor before listing, so that nothing falls between."""
        ...

    async def list_ids(self, query: str, page_token: str = "") -> IdPage:
        """List one page of at most 500 ids that match a Gmail search; without Spam and Trash."""
        ...

    async def get_metadata(self, ids: Sequence[GmailMessageId]) -> MetadataResult:
        """Read labels and headers of messages, in the order asked for; each id ends up in one of the three.

        Ask for some dozens at a time, to see progress. Raises only when nothing at all could be read.
        """
        ...

    async def new_ids_since(self, history_id: str) -> NewMail:
        """List what came since a cursor, as a listing would: without Spam, Trash and drafts.

        Raises HistoryExpiredError.
        """
        ...

    async def ensure_label(self, name: str) -> str:
        """Give the id of the label of this name, creating it when there is none."""
        ...

    async def batch_modify(
        self, ids: Sequence[GmailMessageId], add: Collection[str] = (), remove: Collection[str] = ()
    ) -> None:
        """Add and remove labels, by label id, of any number of messages. Safe to repeat."""
        ...

    async def send(self, mail: EmailMessage) -> GmailMessageId:
        """Send a mail as the owner. Raises SendUnknownError; after an AppError nothing was sent."""
        ...


@dataclass(frozen=True, slots=True)
class FreeBusy:
    """Busy time by calendar, merged and in order, and for each calendar that could not be read the reason.

    Every calendar asked for is in exactly one of the two.
    """

    busy: Mapping[str, tuple[Interval, ...]]
    errors: Mapping[str, str] = field(default_factory=dict)


class Calendar(Protocol):
    """The calendars that one owner can see."""

    async def free_busy(self, calendar_ids: Sequence[str], start: datetime, end: datetime) -> FreeBusy:
        """Ask when calendars are busy within a window of any length.

        A calendar that Google answers about only in part is unreadable. Raises AppError: INVALID_ARGUMENT
        TOO_MANY_CALENDARS (50), FAILED_PRECONDITION GMAIL_GRANT_REVOKED or GOOGLE_REFUSED,
        RESOURCE_EXHAUSTED GOOGLE_QUOTA, UNAVAILABLE GOOGLE_DOWN.
        """
        ...


class GoogleAccess(Protocol):
    """Opens what a grant gives access to. Cheap: connections, tokens and quota are kept behind it."""

    def read_grant(self, token_json: str) -> GoogleGrant:
        """Read the personal agent's token.json. Raises INVALID_ARGUMENT TOKEN_FILE_INVALID."""
        ...

    def gmail(self, grant: GoogleGrant, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        """Open the mailbox of a grant. Open one for each piece of work: it counts the units spent."""
        ...

    def calendar(self, grant: GoogleGrant) -> Calendar:
        """Open the calendars of a grant."""
        ...


# --- Senders' hosts ---------------------------------------------------------------------------------


class OneClick(Protocol):
    """The RFC 8058 request to a sender's host."""

    async def post(self, url: str) -> AttemptOutcome:
        """Ask once to end what this link stands for, and say what became of it.

        Call it only for a link that qualifies, after the attempt was claimed. Never raises for what the
        host does. When it is cancelled, the request may have gone out.
        """
        ...
