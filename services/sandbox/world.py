"""Everything that the sandbox holds in memory, shared by its Google and its senders."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.sandbox.calendars import CalendarBook
from services.sandbox.faults import Faults
from services.sandbox.grants import Grants
from services.sandbox.mailbox import Mailbox
from services.sandbox.quota import Ledger
from services.sandbox.senders import SenderBook


@dataclass(frozen=True, slots=True)
class Clock:
    """The sandbox's time: starts at `origin` when it was made, and goes on at the usual pace."""

    origin: datetime
    started_s: float

    @classmethod
    def starting_at(cls, instant: datetime | None) -> "Clock":
        return cls((instant or datetime.now(UTC)).astimezone(UTC), time.monotonic())

    def now(self) -> datetime:
        return self.origin + timedelta(seconds=time.monotonic() - self.started_s)


@dataclass(frozen=True, slots=True)
class World:
    """One account of the local Google, and the senders that write to it."""

    clock: Clock
    mailbox: Mailbox
    calendars: CalendarBook
    grants: Grants
    ledger: Ledger
    senders: SenderBook
    faults: Faults
    latency_s: float = 0.0
