"""Gmail in memory, trusted because it passes what the real adapter passes (tests/contract/ports)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from services.common.errors import AppError
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.message import METADATA_HEADERS, Headers, Message
from services.mail_core.domain.pacing import MAX_BATCH_MODIFY_IDS, MAX_PAGE_SIZE, units
from services.mail_core.ports import (
    HistoryExpiredError,
    IdPage,
    MetadataResult,
    NewMail,
    Profile,
    SendUnknownError,
)

_NOT_LISTED = frozenset({"SPAM", "TRASH"})
_SYSTEM_LABELS = ("INBOX", "UNREAD", "SPAM", "TRASH")
_READABLE = frozenset(name.lower() for name in METADATA_HEADERS)


def _matches(query: str, message: Message) -> bool:
    """Match the few search words that our own code writes; any other matches everything."""
    return all(_matches_word(word, message) for word in query.split())


def _matches_word(word: str, message: Message) -> bool:
    if word.startswith("-"):
        return not _matches_word(word[1:], message)
    name, _, value = word.partition(":")
    if name == "from":
        return value.strip('"()').lower() in (message.headers.get("From") or "").lower()
    if name in ("in", "label"):
        return value.upper() in message.label_ids or value in message.label_ids
    return True


@dataclass
class FakeMailbox:
    """A mailbox and the troubles that a test orders for it.

    `trouble` is raised by every call while it is set; `unreadable` ids fail after all retries.
    """

    email_address: str = "owner@example.com"
    messages: dict[GmailMessageId, Message] = field(default_factory=dict)
    labels: dict[str, str] = field(
        default_factory=lambda: {name: name for name in ("INBOX", "SPAM", "TRASH")}
    )
    sent: list[EmailMessage] = field(default_factory=list)
    page_size: int = MAX_PAGE_SIZE
    trouble: AppError | None = None
    unreadable: set[GmailMessageId] = field(default_factory=set)
    loses_next_send: bool = False
    table: str = "2026"
    matches: Callable[[str, Message], bool] = field(default=_matches)
    history: list[tuple[int, GmailMessageId]] = field(default_factory=list)
    oldest_history_id: int = 1000
    newest_history_id: int = 1000

    def deliver(
        self,
        *headers: tuple[str, str],
        labels: Collection[str] = ("INBOX", "UNREAD"),
        at: datetime | None = None,
    ) -> GmailMessageId:
        """Put a message into the mailbox, newest last."""
        number = len(self.history) + 1
        identity = GmailMessageId(f"{number:016x}")
        received = at or datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=number)
        read = Headers.of((name, value) for name, value in headers if name.lower() in _READABLE)
        self.messages[identity] = Message(identity, identity, received, frozenset(labels), read, 1000)
        self.newest_history_id += 1
        self.history.append((self.newest_history_id, identity))
        return identity

    def delete(self, identity: GmailMessageId) -> None:
        """Delete a message for good."""
        del self.messages[identity]

    def expire_history(self) -> None:
        """Forget what happened so far: cursors from before no longer work."""
        self.oldest_history_id = self.newest_history_id = self.newest_history_id + 1

    def in_order(self) -> list[Message]:
        """All messages, newest first."""
        return sorted(self.messages.values(), key=lambda message: message.received_at, reverse=True)


@dataclass
class FakeGmail:
    """The Gmail port on a `FakeMailbox`."""

    mailbox: FakeMailbox = field(default_factory=FakeMailbox)
    units_spent: int = 0

    async def profile(self) -> Profile:
        self._spend("getProfile")
        return Profile(self.mailbox.email_address, str(self.mailbox.newest_history_id))

    async def list_ids(self, query: str, page_token: str = "") -> IdPage:
        self._spend("messages.list")
        found = [
            message.id
            for message in self.mailbox.in_order()
            if _NOT_LISTED.isdisjoint(message.label_ids) and self.mailbox.matches(query, message)
        ]
        start = int(page_token or 0)
        end = start + self.mailbox.page_size
        return IdPage(tuple(found[start:end]), str(end) if end < len(found) else "", len(found))

    async def get_metadata(self, ids: Sequence[GmailMessageId]) -> MetadataResult:
        wanted = tuple(dict.fromkeys(ids))
        for _ in wanted:
            self._spend("messages.get")
        failed = tuple(each for each in wanted if each in self.mailbox.unreadable)
        read = [each for each in wanted if each not in self.mailbox.unreadable]
        messages = tuple(self.mailbox.messages[each] for each in read if each in self.mailbox.messages)
        return MetadataResult(
            messages, tuple(each for each in read if each not in self.mailbox.messages), failed
        )

    async def new_ids_since(self, history_id: str) -> NewMail:
        self._spend("history.list")
        if int(history_id) < self.mailbox.oldest_history_id:
            raise HistoryExpiredError
        ids = (identity for number, identity in self.mailbox.history if number > int(history_id))
        listed = tuple(each for each in ids if self._is_listed(each))
        return NewMail(listed, str(self.mailbox.newest_history_id))

    async def ensure_label(self, name: str) -> str:
        self._spend("labels.list")
        for known, identity in self.mailbox.labels.items():
            if known.casefold() == name.casefold():
                return identity
        self._spend("labels.create")
        self.mailbox.labels[name] = f"Label_{len(self.mailbox.labels)}"
        return self.mailbox.labels[name]

    async def batch_modify(
        self, ids: Sequence[GmailMessageId], add: Collection[str] = (), remove: Collection[str] = ()
    ) -> None:
        if not add and not remove:
            return
        for start in range(0, len(ids), MAX_BATCH_MODIFY_IDS):
            self._spend("messages.batchModify")
            for identity in ids[start : start + MAX_BATCH_MODIFY_IDS]:
                self._relabel(identity, add, remove)

    async def send(self, mail: EmailMessage) -> GmailMessageId:
        self._spend("messages.send")
        self.mailbox.sent.append(mail)
        if self.mailbox.loses_next_send:
            self.mailbox.loses_next_send = False
            raise SendUnknownError
        return GmailMessageId(f"sent{len(self.mailbox.sent):012x}")

    def _relabel(self, identity: GmailMessageId, add: Collection[str], remove: Collection[str]) -> None:
        message = self.mailbox.messages.get(identity)
        if message is not None:
            labels = (message.label_ids | set(add)) - set(remove)
            self.mailbox.messages[identity] = replace(message, label_ids=labels)

    def _is_listed(self, identity: GmailMessageId) -> bool:
        message = self.mailbox.messages.get(identity)
        return message is not None and (_NOT_LISTED | {"DRAFT"}).isdisjoint(message.label_ids)

    def _spend(self, method: str) -> None:
        if self.mailbox.trouble is not None:
            raise self.mailbox.trouble
        self.units_spent += units(method, self.mailbox.table)
