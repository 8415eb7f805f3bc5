"""The resources that tokens are made for, by their canonical URIs (RFC 8707)."""

from dataclasses import dataclass

from services.auth.oauth.domain.errors import invalid_target


def canonical(uri: str) -> str:
    """Write a resource URI without its trailing slash, as the MCP specification does."""
    return uri.rstrip("/")


@dataclass(frozen=True, slots=True)
class Resources:
    """Those that we serve; the first is meant when a client names none."""

    uris: tuple[str, ...]

    def choose(self, named: str) -> str:
        """Give the audience of a token. Raises OAuthError invalid_target."""
        if not named:
            return self.uris[0]
        if canonical(named) not in self.uris:
            raise invalid_target()
        return canonical(named)
