"""Ids as clients write them."""

from uuid import UUID


def as_uuid(text: str) -> str | None:
    """Give a UUID in its usual form; None for text that cannot be an id of ours."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
