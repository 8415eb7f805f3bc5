"""What the MCP edge reads from its environment."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AfterValidator, Field

from services.common.cross_origin import is_origin
from services.common.settings import CommaSeparated, EdgeSettings

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(is_origin, values)):
        raise ValueError("must be origins as browsers write them, such as https://app.example.com")
    return values


class McpSettings(EdgeSettings):
    """Settings of the MCP edge. Lists are comma separated; hosts may end in `:*` for any port."""

    mcp_enable_mutation_tools: bool = False
    mcp_allowed_hosts: CommaSeparated = ()
    mcp_allowed_origins: Annotated[CommaSeparated, AfterValidator(_origins)] = ()
    """Pages of exactly these origins may call and read the answers (CORS); of loopback, only call."""
    mcp_resource_server_url: str = ""
    mcp_oauth_issuer: Annotated[str, Field(max_length=256)] = ""
    """The issuer whose tokens auth takes for this edge by introspection (`MCP_AUTH_MODE=oauth`)."""
    mcp_operation_wait_s: Annotated[float, Field(ge=0, le=600)] = 55.0

    @property
    def resource(self) -> str:
        """The canonical URI of the MCP endpoint. May be empty."""
        return self.mcp_resource_server_url or self.public_url

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The issuers from which clients get tokens for this edge: the one for MCP alone before our own."""
        return tuple(issuer for issuer in (self.mcp_oauth_issuer, self.oauth_issuer) if issuer)

    def _resource_problems(self) -> Iterator[str]:
        yield from self._issuer_problems("OAUTH_ISSUER", self.oauth_issuer)
        yield from self._issuer_problems("MCP_OAUTH_ISSUER", self.mcp_oauth_issuer)
        if self.authorization_servers:
            # Clients compare it with the address that a person typed, so PUBLIC_URL will not do.
            yield from self._identifier_problems("MCP_RESOURCE_SERVER_URL", self.mcp_resource_server_url)

    def transport_security(self) -> TransportSecuritySettings:
        """Say which Host and Origin headers are served: loopback, our public names, and those configured."""
        hosts = [*_LOOPBACK_HOSTS, *self._own_hosts(), *self.mcp_allowed_hosts]
        loopback = _with_any_port([f"http://{host}" for host in _LOOPBACK_HOSTS])
        return TransportSecuritySettings(
            allowed_hosts=_with_any_port(hosts), allowed_origins=[*loopback, *self.mcp_allowed_origins]
        )

    def _own_hosts(self) -> list[str]:
        urls = (self.mcp_resource_server_url, self.public_url)
        return [host for host in (urlsplit(url).netloc for url in urls) if host]


def _with_any_port(names: list[str]) -> list[str]:
    bare = [name for name in names if not _names_port(name)]
    return sorted({*names, *(f"{name}:*" for name in bare)})


def _names_port(name: str) -> bool:
    _, _, port = name.rpartition(":")
    return port == "*" or port.isdecimal()
