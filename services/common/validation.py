"""What pydantic found wrong with a client's input, in our words: the same reasons at every edge."""

from collections.abc import Mapping
from typing import Final

_REASONS: Final[Mapping[str, str]] = {
    "missing": "FIELD_REQUIRED",
    "extra_forbidden": "FIELD_UNKNOWN",
    "greater_than_equal": "FIELD_OUT_OF_RANGE",
    "less_than_equal": "FIELD_OUT_OF_RANGE",
    "string_too_short": "FIELD_OUT_OF_RANGE",
    "string_too_long": "FIELD_OUT_OF_RANGE",
    "too_short": "FIELD_OUT_OF_RANGE",
    "too_long": "FIELD_OUT_OF_RANGE",
}


def field_reason(error_type: str) -> str:
    """Name the reason of one field by pydantic's error type (docs.pydantic.dev/latest/errors)."""
    if error_type in _REASONS:
        return _REASONS[error_type]
    return "FIELD_TYPE_INVALID" if error_type.endswith(("_type", "_parsing")) else "FIELD_INVALID"
