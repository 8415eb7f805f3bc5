"""Progress notifications of one tool call: they only ever rise, as the protocol demands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protos.mail.v1 import resources_pb2

Notify = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(slots=True)
class RisingProgress:
    """Turns the progress of an operation into notifications.

    A phase that counts from zero again goes on from where the last one ended. What does not rise is
    not sent.
    """

    notify: Notify
    _phase: str = ""
    _before: int = 0
    _sent: int = -1

    async def __call__(self, operation: resources_pb2.Operation) -> None:
        """Tell the client how far the operation is."""
        progress = operation.progress
        if progress.phase != self._phase:
            self._phase = progress.phase
            self._before = 0 if progress.done > self._sent else self._sent
        done = self._before + progress.done
        if done <= self._sent:
            return
        self._sent = done
        total = max(done, self._before + progress.total) if progress.total else None
        await self.notify(done, total, progress.phase or None)
