"""Which kinds of credential are taken, by the edge that asks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MCP_PEER: Final = "edge_mcp"


class AuthMode(StrEnum):
    """What `AUTH_MODE` may say."""

    API_KEY = "api_key"
    JWT = "jwt"
    HYBRID = "hybrid"

    @property
    def takes_keys(self) -> bool:
        """Whether API keys are accepted."""
        return self is not AuthMode.JWT

    @property
    def takes_tokens(self) -> bool:
        """Whether JWTs are accepted."""
        return self is not AuthMode.API_KEY


class McpAuthMode(StrEnum):
    """What `MCP_AUTH_MODE` may say."""

    INHERIT = "inherit"
    API_KEY = "api_key"
    JWT = "jwt"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of one installation."""

    default: AuthMode
    mcp: McpAuthMode = McpAuthMode.INHERIT

    def for_peer(self, peer: str) -> AuthMode:
        """The mode that applies to a calling edge, known by its certificate."""
        if peer != _MCP_PEER or self.mcp is McpAuthMode.INHERIT:
            return self.default
        return AuthMode(self.mcp)

    @property
    def any_takes_tokens(self) -> bool:
        """Whether some edge accepts JWTs, so that there must be something to check them with."""
        return self.default.takes_tokens or self.for_peer(_MCP_PEER).takes_tokens
