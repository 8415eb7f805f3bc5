"""How long something may go on: until its deadline, and no longer than the right that it rests on."""

import asyncio
from types import TracebackType
from typing import Self

from services.common.errors import unauthenticated


class Standing:
    """Ends what waits inside `within` when the right to hear more is lost.

    Leaving it then raises UNAUTHENTICATED PASSPORT_REVOKED.
    """

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        self._is_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_lost and isinstance(error, TimeoutError):
            raise unauthenticated("PASSPORT_REVOKED", "The credential was revoked.") from None

    def within(self, budget_s: float | None) -> asyncio.Timeout:
        """Begin; None is without a deadline."""
        self._limit = asyncio.timeout(budget_s)
        return self._limit

    def lose(self) -> None:
        """End what waits, now: the right to hear more was taken back."""
        if self._limit is not None and not self._limit.expired():
            self._is_lost = True
            self._limit.reschedule(asyncio.get_running_loop().time())
