"""Trouble to order: what the control API asked the sandbox to do wrong, and how often."""

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from services.sandbox.errors import ConnectionDropped, injected

MAX_DELAY_S = 600.0


@dataclass(slots=True)
class Fault:
    """One kind of trouble for the next `count` calls whose method matches."""

    method: str
    count: int
    status: int | None = None
    reason: str | None = None
    retry_after_s: float | None = None
    delay_s: float = 0.0
    drop: bool = False
    acts: bool = False


@dataclass(slots=True)
class Faults:
    """Faults waiting for their calls, and senders that are held."""

    waiting: list[Fault] = field(default_factory=list)
    held_senders: dict[str, asyncio.Event] = field(default_factory=dict)

    def take(self, method: str) -> Fault | None:
        """The fault for this call, if any; each is used up by its count."""
        for fault in self.waiting:
            if fnmatchcase(method, fault.method):
                fault.count -= 1
                if fault.count <= 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def hold(self, sender: str) -> None:
        self.held_senders.setdefault(sender, asyncio.Event())

    def release(self, sender: str | None) -> None:
        """Let one held sender answer, or all."""
        for name in [sender] if sender else list(self.held_senders):
            event = self.held_senders.pop(name, None)
            if event:
                event.set()

    def clear(self) -> None:
        self.waiting.clear()
        self.release(None)


async def suffer(fault: Fault) -> None:
    """Live through a fault.

    Raises:
        ApiError: the status that the fault names.
        ConnectionDropped: the fault drops the connection.

    """
    if fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    if fault.drop:
        raise ConnectionDropped
    if fault.status:
        raise injected(fault.status, fault.reason, fault.retry_after_s)
