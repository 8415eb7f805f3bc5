"""What auth reads from its environment. Refuses what is half set or weak and says what to set.

No message holds a secret, and of a secret only its weakness is told.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.auth.domain.modes import AuthMode, Modes
from services.auth.domain.strength import weakness_of
from services.auth.domain.token import MAX_LEEWAY_S, TokenRules
from services.auth.mcp_oauth_settings import McpOAuthSettings
from services.auth.setting_values import is_acceptable, secret_of

MIN_API_KEY_CHARS: Final = 24
MAX_API_KEY_CHARS: Final = 1_024
MIN_JWT_SECRET_BYTES: Final = 32
"""HS256 needs a secret as long as its hash (RFC 7518 §3.2)."""
SECRET_ALGORITHMS: Final = ("HS256",)
JWKS_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

_NONE: Final = SecretStr("")

Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,512}$")]
"""Printable ASCII, at most 512 characters: it becomes a part of every passport."""


class AuthSettings(McpOAuthSettings):
    """Settings of `python -m services.auth`."""

    auth_mode: AuthMode = AuthMode.API_KEY
    agent_api_key: SecretStr = _NONE
    agent_api_key_file: Path | None = None
    auth_jwt_secret: SecretStr = _NONE
    auth_jwt_secret_file: Path | None = None
    auth_jwt_secret_previous: SecretStr = _NONE
    auth_jwt_secret_previous_file: Path | None = None
    auth_jwt_secret_previous_max_s: Annotated[int, Field(ge=60, le=30 * 86_400)] = 86_400
    """How long a previous secret counts after its file last changed; from a variable, after the start."""
    auth_jwt_jwks_url: str = ""
    auth_jwt_issuer: Name = ""
    auth_jwt_audience: Name = ""
    auth_jwt_algorithms: str = ""
    auth_jwt_leeway_s: Annotated[float, Field(ge=0, le=MAX_LEEWAY_S)] = 30.0
    audit_retention_days: Annotated[int, Field(ge=1, le=365)] = 90
    audit_key_file: Path | None = None
    """Signs checkpoints of the audit log. Without it, who owns the schema can rewrite the log unseen."""
    audit_checkpoint_s: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    audit_checkpoint_file: Path | None = None
    """Gets a copy of each checkpoint, and says after a restart which one there must be."""
    passport_key_file: Path
    passport_key_previous_file: Path | None = None

    @field_validator("auth_mode", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if problems := self.secret_problems():
            raise ValueError("\n  ".join(problems))
        return self

    def secret_problems(self) -> list[str]:
        """Say what is wrong with keys and secrets as their files are now; none of them is quoted."""
        problems = [*self._key_problems(), *self._token_problems()]
        if not problems and set(self.agent_api_keys) & set(self.jwt_secrets):
            problems.append("AGENT_API_KEY and AUTH_JWT_SECRET are the same; set a secret for each purpose")
        return problems

    @property
    def modes(self) -> Modes:
        """Which kinds of credential each edge takes."""
        return Modes(self.auth_mode, self.mcp_auth_mode)

    @property
    def agent_api_keys(self) -> tuple[str, ...]:
        """The keys of the environment, in the clear. Hash them at once."""
        text = secret_of(self.agent_api_key, self.agent_api_key_file, "AGENT_API_KEY")
        parts = text.splitlines() if self.agent_api_key_file else text.split(",")
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """The shared secret and the one before it, in the clear; empty when there is none."""
        current = secret_of(self.auth_jwt_secret, self.auth_jwt_secret_file, "AUTH_JWT_SECRET")
        previous = secret_of(
            self.auth_jwt_secret_previous, self.auth_jwt_secret_previous_file, "AUTH_JWT_SECRET_PREVIOUS"
        )
        if previous and not current:
            raise ValueError("AUTH_JWT_SECRET_PREVIOUS is set without AUTH_JWT_SECRET; set AUTH_JWT_SECRET")
        return tuple(secret for secret in (current, previous) if secret)

    @property
    def jwt_algorithms(self) -> frozenset[str]:
        """The algorithms that tokens may be signed with."""
        chosen = [name.strip() for name in self.auth_jwt_algorithms.split(",") if name.strip()]
        return frozenset(chosen or self._possible_algorithms)

    @property
    def token_rules(self) -> TokenRules:
        """What tokens must say."""
        return TokenRules(self.auth_jwt_issuer, self.auth_jwt_audience, self.auth_jwt_leeway_s)

    @property
    def _possible_algorithms(self) -> tuple[str, ...]:
        return JWKS_ALGORITHMS if self.auth_jwt_jwks_url else SECRET_ALGORITHMS

    def _key_problems(self) -> Iterator[str]:
        try:
            keys = self.agent_api_keys
        except ValueError as error:
            yield str(error)
            return
        for number, key in enumerate(keys, 1):
            name = "AGENT_API_KEY" if len(keys) == 1 else f"AGENT_API_KEY (number {number})"
            if weakness := weakness_of(key, min_bytes=MIN_API_KEY_CHARS):
                yield f"{name} {weakness}; set one made by: openssl rand -base64 32"
            elif not (key.isascii() and key.isprintable()) or " " in key or len(key) > MAX_API_KEY_CHARS:
                yield f"{name} must be one word of at most {MAX_API_KEY_CHARS} printable ASCII characters"

    def _token_problems(self) -> Iterator[str]:
        try:
            secrets = self.jwt_secrets
        except ValueError as error:
            yield str(error)
            return
        yield from self._source_problems(has_secret=bool(secrets))
        yield from self._jwks_problems()
        for name, secret in zip(("AUTH_JWT_SECRET", "AUTH_JWT_SECRET_PREVIOUS"), secrets, strict=False):
            if weakness := weakness_of(secret, min_bytes=MIN_JWT_SECRET_BYTES):
                yield f"{name} {weakness}; set one made by: openssl rand -base64 48"
        if unfit := self.jwt_algorithms - set(self._possible_algorithms):
            possible = ", ".join(self._possible_algorithms)
            yield f"AUTH_JWT_ALGORITHMS: {len(unfit)} do not fit the source of keys; set some of {possible}"

    def _source_problems(self, *, has_secret: bool) -> Iterator[str]:
        if has_secret and self.auth_jwt_jwks_url:
            yield "AUTH_JWT_SECRET and AUTH_JWT_JWKS_URL are both set; unset one of them"
        if self.modes.any_takes_tokens and not has_secret and not self.auth_jwt_jwks_url:
            name = "AUTH_MODE" if self.auth_mode.takes_tokens else "MCP_AUTH_MODE"
            yield f"{name} accepts JWTs but nothing checks them; set AUTH_JWT_SECRET or AUTH_JWT_JWKS_URL"

    def _jwks_problems(self) -> Iterator[str]:
        if not self.auth_jwt_jwks_url:
            return
        # Without both, a token made for anybody else by the same issuer would open our door.
        if not self.auth_jwt_issuer:
            yield "AUTH_JWT_JWKS_URL needs AUTH_JWT_ISSUER; set it to the exact iss of your tokens"
        if not self.auth_jwt_audience:
            yield "AUTH_JWT_JWKS_URL needs AUTH_JWT_AUDIENCE; set it to the aud that your tokens are made for"
        if not is_acceptable(self.auth_jwt_jwks_url, is_production=self.is_production):
            yield "AUTH_JWT_JWKS_URL must be https:// without user name (http:// on loopback, in development)"


def describe(settings: AuthSettings) -> dict[str, Any]:
    """Say how an instance is set up, for its first log line. No secret, no address with one."""
    return {
        "auth_mode": settings.auth_mode,
        "mcp_auth_mode": settings.mcp_auth_mode,
        "environment_keys": len(settings.agent_api_keys),
        "audit_checkpoints": settings.audit_key_file is not None,
        "oauth": settings.has_oauth,
        "introspection": settings.has_introspection,
        "sign_in": "oidc" if settings.oidc_issuer else "key",
        "jwt_algorithms": sorted(settings.jwt_algorithms) if settings.modes.any_takes_tokens else [],
    }
