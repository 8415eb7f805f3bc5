"""Request parameters, read once and strictly: what is sent twice, is too long or unprintable is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.auth.oauth.domain.errors import invalid_request

MAX_CHARS: Final = 2_048
_MAX_CREDENTIAL_CHARS: Final = 8_192
_LONG: Final = frozenset({"token"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters by name. An empty one counts as absent (RFC 6749 §3.1)."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Parameters":
        """Take pairs as they came. Raises OAuthError invalid_request."""
        values: dict[str, str] = {}
        for name, value in pairs:
            # Two readers could choose differently between two values (RFC 6749 §3.1).
            if name in values:
                raise invalid_request("A parameter is repeated.")
            if len(value) > (_MAX_CREDENTIAL_CHARS if name in _LONG else MAX_CHARS):
                raise invalid_request("A parameter is too long.")
            if any(character < " " or character == "\x7f" for character in value):
                raise invalid_request("A parameter holds a control character.")
            values[name] = value
        return cls({name: value for name, value in values.items() if value})

    def get(self, name: str) -> str:
        """Give a value, or the empty string."""
        return self.values.get(name, "")

    def require(self, name: str) -> str:
        """Give a value. Raises OAuthError invalid_request."""
        value = self.values.get(name, "")
        if not value:
            raise invalid_request(f"{name} is missing.")
        return value
