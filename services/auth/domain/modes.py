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
    """What `MCP_AUTH_MODE` may say. `oauth`: access tokens alone, our own and those of one other issuer."""

    INHERIT = "inherit"
    API_KEY = "api_key"
    JWT = "jwt"
    HYBRID = "hybrid"
    OAUTH = "oauth"

    @property
    def takes_keys(self) -> bool:
        """Whether API keys are accepted. What is inherited is not for this mode to say."""
        return self in {McpAuthMode.API_KEY, McpAuthMode.HYBRID}

    @property
    def takes_tokens(self) -> bool:
        """Whether JWTs are accepted. What is inherited is not for this mode to say."""
        return self in {McpAuthMode.JWT, McpAuthMode.HYBRID}


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of one installation."""

    default: AuthMode
    mcp: McpAuthMode = McpAuthMode.INHERIT

    def for_peer(self, peer: str) -> AuthMode | McpAuthMode:
        """The mode that applies to a calling edge, known by its certificate; never INHERIT."""
        return self.default if peer != _MCP_PEER or self.mcp is McpAuthMode.INHERIT else self.mcp

    @property
    def any_takes_tokens(self) -> bool:
        """Whether some edge accepts JWTs, so that there must be something to check them with."""
        return self.default.takes_tokens or self.for_peer(_MCP_PEER).takes_tokens
