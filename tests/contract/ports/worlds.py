"""The same small world twice: in memory, and as a sandbox Google behind the real adapters."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from services.common.errors import precondition
from services.mail_core.domain.availability import Interval
from services.mail_core.ports import Calendar, Gmail, GoogleAccess, GoogleGrant
from tests.fakes.google_access import FakeGoogle, grant
from tests.fakes.sandbox_process import Sandbox

Header = tuple[str, str]


class World(Protocol):
    """What the contract suites may do behind a port's back."""

    google: GoogleAccess
    grant: GoogleGrant

    async def deliver(self, *headers: Header, labels: tuple[str, ...] = ("INBOX", "UNREAD")) -> str: ...
    async def expire_history(self) -> None: ...
    async def revoke(self) -> None: ...
    async def lose_next_send(self) -> None: ...
    async def sent_count(self) -> int: ...
    async def calendar_fails(self, calendar_id: str, reason: str) -> None: ...
    async def busy(self, start: datetime, end: datetime) -> None: ...

    def gmail(self) -> Gmail: ...
    def calendar(self) -> Calendar: ...


@dataclass
class FakeWorld:
    google: FakeGoogle = field(default_factory=FakeGoogle)
    grant: GoogleGrant = field(default_factory=grant)

    @property
    def mailbox(self):
        return self.google.mailboxes["refresh-1"]

    async def deliver(self, *headers: Header, labels: tuple[str, ...] = ("INBOX", "UNREAD")) -> str:
        return self.mailbox.deliver(*headers, labels=labels)

    async def expire_history(self) -> None:
        self.mailbox.expire_history()

    async def revoke(self) -> None:
        refused = precondition("GMAIL_GRANT_REVOKED", "Connect the account again.")
        self.mailbox.trouble = refused
        self.google.calendars["refresh-1"].trouble = refused

    async def lose_next_send(self) -> None:
        self.mailbox.loses_next_send = True

    async def sent_count(self) -> int:
        return len(self.mailbox.sent)

    async def calendar_fails(self, calendar_id: str, reason: str) -> None:
        self.google.calendars["refresh-1"].unreadable[calendar_id] = reason

    async def busy(self, start: datetime, end: datetime) -> None:
        self.google.calendars["refresh-1"].busy["primary"].append(Interval(start, end))

    def gmail(self) -> Gmail:
        return self.google.gmail(self.grant)

    def calendar(self) -> Calendar:
        return self.google.calendar(self.grant)


@dataclass
class SandboxWorld:
    sandbox: Sandbox
    google: GoogleAccess
    grant: GoogleGrant

    async def deliver(self, *headers: Header, labels: tuple[str, ...] = ("INBOX", "UNREAD")) -> str:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return await self.sandbox.deliver(lines + "\r\nText.\r\n", list(labels))

    async def expire_history(self) -> None:
        await self.sandbox.order(forget_history=True)

    async def revoke(self) -> None:
        await self.sandbox.order(revoke_grant=True)

    async def lose_next_send(self) -> None:
        await self.sandbox.fault("gmail.users.messages.send", drop=True, acts=True)

    async def sent_count(self) -> int:
        labels = (await self.sandbox.summary())["labels"]
        return next(label["messages"] for label in labels if label["id"] == "SENT")

    async def calendar_fails(self, calendar_id: str, reason: str) -> None:
        await self.sandbox.order(calendar_errors={calendar_id: reason})

    async def busy(self, start: datetime, end: datetime) -> None:
        event: dict[str, Any] = {"start": start.isoformat(), "end": end.isoformat()}
        await self.sandbox.add_event(**event)

    def gmail(self) -> Gmail:
        return self.google.gmail(self.grant)

    def calendar(self) -> Calendar:
        return self.google.calendar(self.grant)
