"""A message as a scan sees it: ids, labels and the headers that the rules read. Bodies are never read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from services.mail_core.domain.addresses import Address, parse_address, printable
from services.mail_core.domain.encoded_words import decode_words
from services.mail_core.domain.ids import GmailMessageId

# What a scan asks Gmail for (`metadataHeaders`). It costs the same units as asking for one.
METADATA_HEADERS: tuple[str, ...] = (
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Delivered-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Post",
    "List-Help",
    "List-Subscribe",
    "List-Owner",
    "List-Archive",
    "Mailing-List",
    "X-Mailing-List",
    "X-BeenThere",
    "X-Mailman-Version",
    "X-List-Name",
    "X-BulkMail",
    "Precedence",
    "Feedback-ID",
    "Auto-Submitted",
    "Authentication-Results",
    "DKIM-Signature",
)
# Bounds the work that a hostile header can cause.
_MAX_FIELD = 8_192
_MAX_LINE = 998


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields from the top of the message down; names match without regard to case."""

    fields: tuple[tuple[str, str], ...] = ()
    _by_name: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[str]] = {}
        for name, value in self.fields:
            by_name.setdefault(name.strip().lower(), []).append(value)
        object.__setattr__(self, "_by_name", {name: tuple(values) for name, values in by_name.items()})

    @classmethod
    def of(cls, fields: Iterable[tuple[str, str]]) -> "Headers":
        """Build from (name, value) pairs in the order of the message."""
        return cls(tuple((name, value) for name, value in fields))

    def get(self, name: str) -> str | None:
        """Give the topmost field of this name."""
        values = self._by_name.get(name.lower())
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Give every field of this name, from the top."""
        return self._by_name.get(name.lower(), ())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._by_name

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a mailbox, without its body.

    `received_at` is Gmail's internal date, aware; `size` is in bytes. Everything else that a sender
    wrote is untrusted text.
    """

    id: GmailMessageId
    thread_id: str
    received_at: datetime
    label_ids: frozenset[str]
    headers: Headers
    size: int = 0

    @property
    def subject(self) -> str:
        """Subject, decoded, on one line, cut at 998 characters (RFC 5322 section 2.1.1)."""
        return printable(decode_words((self.headers.get("Subject") or "")[:_MAX_FIELD]))[:_MAX_LINE]

    @property
    def sender(self) -> Address | None:
        """First mailbox of From; None when From holds no address."""
        return parse_address(self.headers.get("From") or "")
