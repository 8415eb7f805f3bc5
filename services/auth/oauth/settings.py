"""What the authorization server reads from its environment. Without OAUTH_LISTEN it is off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.domain.resources import canonical
from services.auth.oauth.domain.tokens import DEFAULT_LIFE_S, MAX_LIFE_S, MIN_LIFE_S
from services.auth.setting_values import is_acceptable, secret_of
from services.common.link_safety import LinkPolicy
from services.common.settings import CommaSeparated, DatabaseSettings, LimitSettings, PerMinute

_NONE: Final = SecretStr("")


class OAuthSettings(DatabaseSettings, LimitSettings):
    """Settings of the authorization server and of sign-in."""

    oauth_listen: Annotated[str, Field(pattern=r"^([^\s]+:\d{1,5})?$")] = ""
    oauth_issuer: Annotated[str, Field(max_length=256)] = ""
    """The public address of the server, exactly as clients know it."""
    oauth_resources: CommaSeparated = ()
    """Canonical URIs of the edges that take its tokens; the first is meant when a client names none."""
    oauth_key_file: Path | None = None
    oauth_registration: bool = True
    """Whether clients may register themselves. Those that publish a document about themselves need not."""
    oauth_sign_ins_per_minute: PerMinute = 20
    """Tries to sign in with a key, from one address."""
    oauth_registrations_per_minute: PerMinute = 10
    """Clients that register, from one address."""
    oauth_token_ttl_s: Annotated[int, Field(ge=MIN_LIFE_S, le=MAX_LIFE_S)] = DEFAULT_LIFE_S
    oidc_issuer: Annotated[str, Field(max_length=256)] = ""
    oidc_client_id: Annotated[str, Field(max_length=256)] = ""
    oidc_client_secret: SecretStr = _NONE
    oidc_client_secret_file: Path | None = None
    oidc_allowed_emails: CommaSeparated = ()
    oidc_allowed_domains: CommaSeparated = ()
    oidc_team_id: str = DEFAULT_TEAM_ID
    egress_allow: str = ""
    """CIDRs, comma separated, at which documents of clients may be fetched in spite of the guard."""

    @model_validator(mode="after")
    def _oauth_is_whole(self) -> Self:
        problems = [*self._oauth_problems(), *self._oidc_problems()]
        if problems:
            raise ValueError("\n  ".join(problems))
        return self

    @property
    def has_oauth(self) -> bool:
        """Whether there is an authorization server."""
        return bool(self.oauth_listen)

    @property
    def resources(self) -> tuple[str, ...]:
        """The canonical URIs of the resources."""
        return tuple(canonical(uri) for uri in self.oauth_resources)

    @property
    def oidc_secret(self) -> str:
        """The secret that the identity provider knows us by, in the clear."""
        return secret_of(self.oidc_client_secret, self.oidc_client_secret_file, "OIDC_CLIENT_SECRET")

    @property
    def link_policy(self) -> LinkPolicy:
        """Where documents of clients may be fetched."""
        return LinkPolicy.parse(self.egress_allow)

    def _oauth_problems(self) -> Iterator[str]:
        LinkPolicy.parse(self.egress_allow)
        if self.is_production and self.egress_allow:
            yield "EGRESS_ALLOW opens the way to internal hosts and must be empty in production"
        if not self.has_oauth:
            if self.oauth_issuer or self.oidc_issuer:
                yield "OAUTH_ISSUER or OIDC_ISSUER is set without OAUTH_LISTEN; set OAUTH_LISTEN"
            return
        if not _is_identifier(self.oauth_issuer, is_production=self.is_production):
            yield "OAUTH_ISSUER must be https:// without query and trailing slash (http:// on loopback)"
        if not self.oauth_resources:
            yield "OAUTH_RESOURCES is missing; name the addresses of your edges, the MCP edge first"
        for uri in self.resources:
            if not _is_identifier(uri, is_production=self.is_production):
                yield "OAUTH_RESOURCES must be https:// without query (http:// on loopback)"
        if self.oauth_key_file is None:
            yield "OAUTH_KEY_FILE is missing; make one: openssl ecparam -name prime256v1 -genkey -noout"

    def _oidc_problems(self) -> Iterator[str]:
        if not self.oidc_issuer:
            if self.oidc_client_id:
                yield "OIDC_CLIENT_ID is set without OIDC_ISSUER; set OIDC_ISSUER"
            return
        if not is_acceptable(self.oidc_issuer, is_production=self.is_production):
            yield "OIDC_ISSUER must be https:// without user name (http:// on loopback, in development)"
        if not self.oidc_client_id:
            yield "OIDC_CLIENT_ID is missing; take it from your identity provider"
        try:
            if not self.oidc_secret:
                yield "OIDC_CLIENT_SECRET is missing; take it from your identity provider"
        except ValueError as error:
            yield str(error)
        # Without a list, everybody who has an account at the issuer could sign in to your team.
        if not self.oidc_allowed_emails and not self.oidc_allowed_domains:
            yield "OIDC_ALLOWED_EMAILS or OIDC_ALLOWED_DOMAINS must say who may sign in"


def _is_identifier(uri: str, *, is_production: bool) -> bool:
    if not is_acceptable(uri, is_production=is_production) or uri.endswith("/"):
        return False
    parts = urlsplit(uri)
    return not parts.query and "?" not in uri
