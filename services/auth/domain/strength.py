"""Tells secrets that a person made up from secrets that a machine drew."""

import re
from itertools import pairwise
from typing import Final

_MIN_DISTINCT: Final = 8
_MAX_COMPARED: Final = 1_024
_PLACEHOLDERS: Final = re.compile(
    r"change[-_ ]?(?:me|this|it)|replace[-_ ]?(?:me|this|it)|secret|passw(?:or)?d|example|default|placeholder"
    r"|insecure|qwert[yz]|letmein|mailwarden|agent[-_ ]?api[-_ ]?key|jwt|your[-_ ]?(?:api[-_ ]?)?key",
    re.IGNORECASE,
)


def weakness_of(secret: str, *, min_bytes: int) -> str | None:
    """Say what is wrong with a secret, without quoting it; None when it is good enough.

    Well-known words do not count towards its length, so `changeme` cannot be padded with itself.
    """
    if len(secret.encode()) < min_bytes:
        return f"is shorter than {min_bytes} bytes"
    rest = _PLACEHOLDERS.sub("", secret)
    if len(rest.encode()) < min_bytes:
        return "is made of well-known words"
    if len(set(rest)) < _MIN_DISTINCT:
        return "has too few different characters"
    if _is_repeated(rest[:_MAX_COMPARED]):
        return "repeats itself"
    if _is_sequence(rest):
        return "counts up or down"
    return None


def _is_repeated(text: str) -> bool:
    """Whether some shorter unit, over and over (and perhaps cut off), makes up the text."""
    return any(text[unit:] == text[:-unit] for unit in range(1, len(text) // 2 + 1))


def _is_sequence(text: str) -> bool:
    steps = [abs(ord(after) - ord(before)) for before, after in pairwise(text)]
    return sum(step <= 1 for step in steps) * 2 > len(steps)
