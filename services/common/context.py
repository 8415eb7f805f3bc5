"""The request that the current task works for: its id, its deadline and its caller's passport."""

import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Final, TypeVar

from services.common.errors import deadline_exceeded
from services.common.identity import Caller

T = TypeVar("T")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

PassportSource = Callable[[str], Awaitable[str]]
"""Gives the passport for an audience."""
OnPassportRefused = Callable[[str, str], None]
"""Told that a backend, named by its audience, does not believe this passport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way through one process. `deadline` is on the monotonic clock, in seconds."""

    request_id: str
    deadline: float | None = None
    peer: str = ""
    caller: Caller | None = None
    passport_for: PassportSource | None = None
    on_passport_refused: OnPassportRefused | None = None

    def time_left_s(self) -> float | None:
        """Seconds until the deadline; None when there is none."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def require_caller(self) -> Caller:
        """The verified caller, for methods that the dispatcher admits only with a passport."""
        if self.caller is None:
            raise RuntimeError("this method is called without a passport")
        return self.caller


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call | None:
    """The request that this task works for; None outside of any."""
    return _current.get()


def undo(variable: ContextVar[T], token: Token[T]) -> None:
    """Take back a `set`.

    A stream that its client has left is closed by the event loop in a context of its own, in which
    there is nothing to take back.
    """
    with contextlib.suppress(ValueError):
        variable.reset(token)


@contextlib.contextmanager
def entered(call: Call) -> Iterator[Call]:
    """Work for a request."""
    token = _current.set(call)
    try:
        yield call
    finally:
        undo(_current, token)


def request_id_from(text: str | None) -> str:
    """Keep a client's request id when it is harmless, else make one."""
    return text if text and _REQUEST_ID.fullmatch(text) else secrets.token_hex(16)


def bounded_timeout_s(wanted_s: float | None) -> float | None:
    """Shorten a timeout to what the caller left of its deadline. Raises DEADLINE_EXCEEDED at nothing."""
    call = _current.get()
    left = call.time_left_s() if call else None
    if left is not None and left <= 0:
        raise deadline_exceeded()
    bounds = [bound for bound in (wanted_s, left) if bound is not None]
    return min(bounds, default=None)
