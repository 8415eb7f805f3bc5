"""Partial responses: the `fields` parameter of Google's APIs, like `messages(id,threadId),nextPageToken`."""

import re
from typing import Any

from services.sandbox.errors import ApiError

Mask = dict[str, "Mask"]
_TOKEN = re.compile(r"[A-Za-z0-9_\-*]+|[(),/]")
_MAX_LENGTH = 4_000


def parse(text: str) -> Mask:
    """Read a field mask.

    Raises:
        ApiError: 400 `invalidParameter`, the mask is malformed.

    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", "") or len(text) > _MAX_LENGTH:
        raise _bad(text)
    mask = _list(tokens)
    if tokens:
        raise _bad(text)
    return mask


def select(value: Any, mask: Mask) -> Any:
    """Keep only what the mask names; an empty mask keeps all."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [select(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: select(value[key], inner) for key, inner in mask.items() if key in value}


def _list(tokens: list[str]) -> Mask:
    mask: Mask = {}
    while True:
        _path(tokens, mask)
        if not tokens or tokens[0] != ",":
            return mask
        tokens.pop(0)


def _path(tokens: list[str], mask: Mask) -> None:
    if not tokens or tokens[0] in "(),/":
        raise _bad("".join(tokens))
    inner = mask.setdefault(tokens.pop(0), {})
    if tokens and tokens[0] == "/":
        tokens.pop(0)
        _path(tokens, inner)
    elif tokens and tokens[0] == "(":
        tokens.pop(0)
        inner.update(_list(tokens))
        if not tokens or tokens.pop(0) != ")":
            raise _bad("")


def _bad(text: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {text[:80]}")
