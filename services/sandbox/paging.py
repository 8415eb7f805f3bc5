"""Page tokens: where a listing stopped, so that mail arriving meanwhile repeats and hides nothing."""

import re

from services.sandbox.errors import invalid

Position = tuple[int, int]


def write_position(position: Position) -> str:
    return f"{-position[0]}-{-position[1]}"


def read_position(token: str) -> Position | None:
    """Position of a token; None for the first page.

    Raises:
        ApiError: 400, it is no token of ours.

    """
    if not token:
        return None
    found = re.fullmatch(r"(\d{1,20})-(\d{1,20})", token)
    if not found:
        raise invalid("Invalid pageToken")
    return (-int(found[1]), -int(found[2]))
