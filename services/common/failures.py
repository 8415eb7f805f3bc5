"""How an unexpected exception reads in the log: its types and where it was raised, never its text.

The text of an exception may quote whatever it stumbled over: an address, a subject, a credential.
"""

import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from services.common.errors import AppError

_MAX_FRAMES: Final = 25
_MAX_ERRORS: Final = 8


def tell_failure(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` of a log event by `exception`, a traceback without texts."""
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = "\n".join(_told(error))
    return event


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _told(error: BaseException) -> Iterator[str]:
    for told, each in enumerate(_with_origins(error)):
        if told == _MAX_ERRORS:
            yield "…"
            return
        frames = traceback.extract_tb(each.__traceback__)[-_MAX_FRAMES:]
        yield _name(each)
        yield from (f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)


def _with_origins(error: BaseException) -> Iterator[BaseException]:
    """Give an error, what it groups, and what it came from."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _with_origins(each)
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if origin is not None:
        yield from _with_origins(origin)


def _name(error: BaseException) -> str:
    kind = type(error).__qualname__
    if isinstance(error, AppError):
        return f"{kind} {error.reason}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{kind} errno {error.errno}"
    return kind
