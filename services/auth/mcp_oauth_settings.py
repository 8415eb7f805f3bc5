"""What auth reads about the MCP edge as an OAuth resource server (`MCP_AUTH_MODE=oauth`).

Tokens of our own authorization server are taken when there is one. Tokens of one other issuer are taken when
MCP_OAUTH_INTROSPECTION_URL says where to ask about them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.auth.domain.introspected import IntrospectionRules
from services.auth.domain.modes import McpAuthMode
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.settings import OAuthSettings
from services.auth.setting_values import secret_of
from services.common.web_address import canonical, is_acceptable, is_identifier

_NONE: Final = SecretStr("")
_URL: Final = "MCP_OAUTH_INTROSPECTION_URL"
_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Text = Annotated[str, Field(max_length=512)]


class McpOAuthSettings(OAuthSettings):
    """Settings of tokens at the MCP edge."""

    mcp_auth_mode: McpAuthMode = McpAuthMode.INHERIT
    mcp_resource_server_url: Text = ""
    """The address at which clients reach MCP: what tokens of another issuer are made for, by default."""
    mcp_oauth_introspection_url: Text = ""
    mcp_oauth_client_id: Text = ""
    mcp_oauth_client_secret: SecretStr = _NONE
    mcp_oauth_client_secret_file: Path | None = None
    mcp_oauth_issuer: Text = ""
    mcp_oauth_audience: Text = ""
    mcp_oauth_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 8.0
    """The passport's own deadline of 10 seconds bounds it too."""
    mcp_oauth_team_id: Annotated[str, Field(pattern=_UUID)] = DEFAULT_TEAM_ID

    @field_validator("mcp_auth_mode", mode="before")
    @classmethod
    def _mcp_mode_in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _mcp_oauth_is_whole(self) -> Self:
        if problems := list(self._mcp_oauth_problems()):
            raise ValueError("\n  ".join(problems))
        return self

    @property
    def has_introspection(self) -> bool:
        """Whether there is another issuer to ask."""
        return bool(self.mcp_oauth_introspection_url)

    @property
    def introspection_rules(self) -> IntrospectionRules:
        """What the other issuer's tokens must say. The leeway is for whoever builds on these settings."""
        audience = self.mcp_oauth_audience or canonical(self.mcp_resource_server_url)
        return IntrospectionRules(self.mcp_oauth_issuer, audience)

    @property
    def introspection_secret(self) -> str:
        """The secret that the other issuer knows us by, in the clear."""
        return secret_of(
            self.mcp_oauth_client_secret, self.mcp_oauth_client_secret_file, "MCP_OAUTH_CLIENT_SECRET"
        )

    def _mcp_oauth_problems(self) -> Iterator[str]:
        if self.mcp_auth_mode is not McpAuthMode.OAUTH:
            for name in self._mcp_oauth_names():
                yield f"{name} is set but MCP_AUTH_MODE is not oauth; set MCP_AUTH_MODE=oauth or unset {name}"
            return
        if not self.has_oauth and not self.has_introspection:
            yield f"MCP_AUTH_MODE=oauth has nobody to take tokens from; set OAUTH_LISTEN or {_URL}"
        if self.has_introspection:
            yield from self._introspection_problems()
            return
        for name in self._mcp_oauth_names():
            yield f"{name} is set without {_URL}; set {_URL}"

    def _mcp_oauth_names(self) -> Iterator[str]:
        said = {
            _URL: self.mcp_oauth_introspection_url,
            "MCP_OAUTH_ISSUER": self.mcp_oauth_issuer,
            "MCP_OAUTH_AUDIENCE": self.mcp_oauth_audience,
            "MCP_OAUTH_CLIENT_ID": self.mcp_oauth_client_id,
            "MCP_OAUTH_CLIENT_SECRET": self.mcp_oauth_client_secret.get_secret_value(),
            "MCP_OAUTH_CLIENT_SECRET_FILE": self.mcp_oauth_client_secret_file,
        }
        return (name for name, value in said.items() if value)

    def _introspection_problems(self) -> Iterator[str]:
        if not is_acceptable(self.mcp_oauth_introspection_url, is_production=self.is_production):
            yield f"{_URL} must be https:// without user name (http:// on loopback, in development)"
        # Without an issuer there is nothing to publish to clients, and nothing to call people by.
        if not self.mcp_oauth_issuer:
            yield f"MCP_OAUTH_ISSUER is missing; set it to the exact issuer of the tokens that {_URL} knows"
        elif not is_identifier(self.mcp_oauth_issuer, is_production=self.is_production):
            yield "MCP_OAUTH_ISSUER must be https:// without query (http:// on loopback, in development)"
        # Without an audience, a token made for anybody else by the same issuer would open our door.
        if not self.mcp_resource_server_url:
            yield "MCP_RESOURCE_SERVER_URL is missing; set it to the address at which clients reach MCP"
        elif not is_identifier(self.mcp_resource_server_url, is_production=self.is_production):
            yield "MCP_RESOURCE_SERVER_URL must be https:// without query (http:// on loopback)"
        yield from self._client_problems()

    def _client_problems(self) -> Iterator[str]:
        try:
            secret = self.introspection_secret
        except ValueError as error:
            yield str(error)
            return
        if secret and not self.mcp_oauth_client_id:
            yield "MCP_OAUTH_CLIENT_SECRET is set without MCP_OAUTH_CLIENT_ID; set MCP_OAUTH_CLIENT_ID"
        if self.mcp_oauth_client_id and not secret:
            yield "MCP_OAUTH_CLIENT_ID is set without MCP_OAUTH_CLIENT_SECRET; set MCP_OAUTH_CLIENT_SECRET"
