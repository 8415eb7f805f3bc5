"""JSON objects from strangers, read so that no two readers can see different things in them."""

import json
from typing import Any


def read_object(content: bytes) -> dict[str, Any]:
    """Read an object: no name twice (RFC 8725 §2.4), no NaN. Raises ValueError."""
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")  # noqa: TRY004  bad content, not a bug
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice")
    return members


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
