"""One Gmail mailbox in memory: messages, threads, labels and their history."""

import html
import re
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from services.sandbox import rfc822
from services.sandbox.errors import invalid, not_found
from services.sandbox.history import Change, History
from services.sandbox.labels import LabelBook

_FIRST_ID = 0x19A0_4C31_7E00_0000
_ID_STEP = 0x2F_35C1
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_SNIPPET_CHARS = 200


@dataclass(eq=False)
class Message:
    """A stored message. Its raw bytes never change; its labels do."""

    id: str
    thread_id: str
    raw: bytes
    internal_date_ms: int
    labels: set[str]
    history_id: int = 0

    @cached_property
    def headers(self) -> tuple[rfc822.Header, ...]:
        return rfc822.parse_headers(self.raw)

    @cached_property
    def text(self) -> str:
        return rfc822.plain_text(self.raw)

    @cached_property
    def snippet(self) -> str:
        return html.escape(" ".join(self.text.split())[:_SNIPPET_CHARS])

    def header(self, name: str) -> str:
        return rfc822.first(self.headers, name)


@dataclass(slots=True)
class Mailbox:
    """The mail of one account."""

    address: str
    display_name: str
    aliases: tuple[str, ...] = ()
    messages: dict[str, Message] = field(default_factory=dict)
    labels: LabelBook = field(default_factory=LabelBook)
    history: History = field(default_factory=History)
    _newest_first: list[tuple[int, int]] = field(default_factory=list)
    _threads: dict[str, list[str]] = field(default_factory=dict)
    _thread_by_message_id: dict[str, str] = field(default_factory=dict)
    _next_id: int = _FIRST_ID

    @property
    def own_addresses(self) -> tuple[str, ...]:
        return (self.address, *self.aliases)

    def add(
        self, raw: bytes, labels: Iterable[str], instant: datetime, thread_id: str | None = None
    ) -> Message:
        """Store one message as it came."""
        number = self._next_id
        self._next_id += _ID_STEP
        name = f"{number:016x}"
        message = Message(name, name, raw, int(instant.timestamp() * 1000), set(labels))
        message.thread_id = thread_id or self._thread_of(message) or name
        self.messages[name] = message
        self._threads.setdefault(message.thread_id, []).append(name)
        self._thread_by_message_id.setdefault(message.header("message-id"), message.thread_id)
        insort(self._newest_first, (-message.internal_date_ms, -number))
        self._changed(message, "messageAdded", ())
        return message

    def get(self, message_id: str) -> Message:
        """The message of that id.

        Raises:
            ApiError: 400 it is no id; 404 there is none.

        """
        if not re.fullmatch(r"[0-9a-f]{1,16}", message_id):
            raise invalid("Invalid id value")
        if message_id not in self.messages:
            raise not_found()
        return self.messages[message_id]

    def thread(self, thread_id: str) -> list[Message]:
        if thread_id not in self._threads:
            raise not_found()
        return [self.messages[name] for name in self._threads[thread_id]]

    def newest_first(self, after: tuple[int, int] | None = None) -> Iterator[Message]:
        """Messages by date; `after` is the `position` where an earlier page ended."""
        start = 0 if after is None else bisect_right(self._newest_first, after)
        for _, number in self._newest_first[start:]:
            yield self.messages[f"{-number:016x}"]

    def position(self, message: Message) -> tuple[int, int]:
        return (-message.internal_date_ms, -int(message.id, 16))

    def relabel(self, message: Message, add: Iterable[str], remove: Iterable[str]) -> None:
        """Change labels; only what really changes enters the history."""
        added = tuple(sorted(set(add) - message.labels))
        removed = tuple(sorted(set(remove) & message.labels))
        if added:
            message.labels.update(added)
            self._changed(message, "labelAdded", added)
        if removed:
            message.labels.difference_update(removed)
            self._changed(message, "labelRemoved", removed)

    def delete_label(self, label_id: str) -> None:
        self.labels.delete(label_id)
        for message in self.messages.values():
            self.relabel(message, (), (label_id,))

    def with_label(self, label_id: str) -> list[Message]:
        return [message for message in self.messages.values() if label_id in message.labels]

    def _thread_of(self, message: Message) -> str | None:
        cited = message.header("in-reply-to") + " " + message.header("references")
        threads = (self._thread_by_message_id.get(name) for name in _MESSAGE_ID.findall(cited))
        return next(filter(None, threads), None)

    def _changed(self, message: Message, kind: str, labels: tuple[str, ...]) -> None:
        message.history_id = self.history.next_id()
        after = tuple(sorted(message.labels))
        change = Change(message.history_id, kind, message.id, message.thread_id, after, labels)
        self.history.record(change)
