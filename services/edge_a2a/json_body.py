"""Request bodies of JSON, bounded in depth: what reads them further recurses."""

from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64


class NotJsonError(Exception):
    """The body is not JSON."""


class TooDeepError(Exception):
    """The body nests deeper than `MAX_DEPTH`."""


def read_json(body: bytes) -> Any:
    """Read a body. Raises NotJsonError, TooDeepError."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotJsonError from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for holder in level for item in _items(holder)]
        if not level:
            return value
    raise TooDeepError


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
