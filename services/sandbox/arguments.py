"""Query parameters and JSON bodies, read with their types: a wrong one is Google's 400, never a crash."""

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from services.sandbox.errors import invalid


class Query:
    """Query parameters; repeated ones keep their order."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        found = self._values.get(name)
        return found[-1] if found else default

    def many(self, name: str) -> list[str]:
        return list(self._values.get(name, ()))

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """An integer, at most `high` as Google silently takes its maximum."""
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise invalid(f"Invalid value at '{name}' (TYPE_UINT32), \"{text[:80]}\"", "badRequest")
        if int(text) < low:
            raise invalid(f"Invalid value at '{name}': must be at least {low}")
        return min(int(text), high)

    def boolean(self, name: str) -> bool:
        text = self.text(name).lower()
        if text not in {"", "true", "false", "1", "0"}:
            raise invalid(f"Invalid value at '{name}' (TYPE_BOOL), \"{text[:80]}\"", "badRequest")
        return text in {"true", "1"}


class Body:
    """A JSON object."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    @classmethod
    def parse(cls, content: bytes) -> "Body":
        """Read a JSON object; an empty body is an empty object.

        Raises:
            ApiError: 400, it is not JSON, or not an object.

        """
        if not content.strip():
            return cls({})
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise invalid("Invalid JSON payload received. Unexpected token.", "parseError") from error
        if not isinstance(values, dict):
            raise invalid("Invalid JSON payload received. Root element must be a message.", "parseError")
        return cls(values)

    def text(self, name: str, default: str | None = None) -> str | None:
        return self._typed(name, str, "TYPE_STRING", default)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        return self._typed(name, bool, "TYPE_BOOL", default)

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid(f"Invalid value at '{name}': an integer from {low} to {high} is needed")
        return value

    def number(self, name: str, default: float | None, *, low: float, high: float) -> float | None:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise invalid(f"Invalid value at '{name}': a number from {low:g} to {high:g} is needed")
        return value

    def strings(self, name: str) -> list[str]:
        values = self._typed(name, list, "TYPE_STRING", [])
        if not all(isinstance(value, str) for value in values):
            raise invalid(f"Invalid value at '{name}' (TYPE_STRING)")
        return values

    def objects(self, name: str) -> list["Body"]:
        values = self._typed(name, list, "TYPE_MESSAGE", [])
        if not all(isinstance(value, dict) for value in values):
            raise invalid(f"Invalid value at '{name}' (TYPE_MESSAGE)")
        return [Body(value) for value in values]

    def object(self, name: str) -> "Body | None":
        value = self._typed(name, dict, "TYPE_MESSAGE", None)
        return None if value is None else Body(value)

    def bytes(self, name: str) -> bytes | None:
        """A base64url field, padding optional."""
        text = self.text(name)
        return None if text is None else decode_base64url(text, name)

    def _typed(self, name: str, kind: type, word: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise invalid(f"Invalid value at '{name}' ({word})")
        return value


def decode_base64url(text: str, name: str) -> bytes:
    """Decode strictly; both alphabets are taken, as Google does."""
    plain = text.replace("+", "-").replace("/", "_").rstrip("=")
    try:
        if not plain.replace("-", "a").replace("_", "a").isalnum() and plain:
            raise ValueError(name)  # noqa: TRY301 - one exit for every kind of bad text
        return urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except (ValueError, binascii.Error) as error:
        raise invalid(f"Invalid value at '{name}' (TYPE_BYTES), Base64 decoding failed") from error
