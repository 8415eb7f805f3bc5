"""What every process reads from its environment, once, at start.

Secrets come from files named by `…_FILE` (or from variables of the same name without it, where the
runbook of the personal agent used them) and are `SecretStr`, so that no repr shows them.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from services.common.web_address import is_identifier

S = TypeVar("S", bound=BaseSettings)


class Environment(StrEnum):
    """Where the process runs. Production refuses what is only fit for trying things out."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class BaseServiceSettings(BaseSettings):
    """Settings of every service."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    mailwarden_env: Environment = Environment.DEVELOPMENT
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    otel_exporter_otlp_endpoint: str = ""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    listen: Annotated[str, Field(pattern=r"^[^\s]+:\d{1,5}$")] = "127.0.0.1:0"
    ready_file: Path | None = None
    drain_s: Annotated[float, Field(ge=0, le=300)] = 10.0

    @property
    def is_production(self) -> bool:
        """Whether to refuse what is only fit for development."""
        return self.mailwarden_env is Environment.PRODUCTION


class TlsSettings(BaseServiceSettings):
    """Settings of every process that takes part in mutual TLS."""

    tls_cert_file: Path
    tls_key_file: Path
    tls_ca_file: Path


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ip_network(value)) for value in values)


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[CommaSeparated, AfterValidator(_networks)]
PerMinute = Annotated[int, Field(ge=1, le=10_000_000)]
PerMinuteOrPlan = Annotated[int, Field(ge=0, le=10_000_000)]


class LimitSettings(BaseServiceSettings):
    """How much a client may ask of an edge."""

    redis_url: Annotated[str, Field(pattern=r"^((rediss?|valkeys?)://|unix:/)")] | None = Field(
        default=None, repr=False
    )
    """Where replicas count together. Without it each process counts alone."""
    trusted_proxies: Networks = ()
    """CIDRs of the proxies whose X-Forwarded-For is believed."""
    rate_limit_per_minute: PerMinuteOrPlan = 0
    """Requests of one credential; 0 takes the plan's number."""
    rate_limit_team_per_minute: PerMinuteOrPlan = 0
    """Requests of all credentials of a team together; 0 takes the plan's number."""
    rate_limit_address_per_minute: PerMinute = 120
    """Requests without a credential from one address."""
    rate_limit_failures_per_minute: PerMinute = 60
    """Refused credentials from one address."""
    max_streams_per_credential: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Streams that one credential may hold open at one replica."""


class EdgeSettings(TlsSettings, LimitSettings):
    """Settings that the three edges share."""

    auth_address: str
    mail_core_address: str
    public_url: str = ""
    oauth_issuer: Annotated[str, Field(max_length=256)] = ""
    """Our own authorization server, exactly as auth has it; published to clients. Empty: there is none."""
    max_body_bytes: Annotated[int, Field(ge=1_024, le=64 * 1024 * 1024)] = 1024 * 1024
    request_timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    idle_timeout_s: Annotated[float, Field(ge=1, le=3_600)] = 75.0
    """How long a connection may take to send the head of its next request, the first included.

    Longer than the usual 60 s of a load balancer, so that it is never us who closes under its hand.
    """
    body_timeout_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    """How long a request body may take to arrive."""
    write_timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long a client may leave an answer unread before it is cut off."""

    @property
    def resource(self) -> str:
        """The canonical URI of this edge, which access tokens name as their audience (RFC 8707)."""
        return self.public_url

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The issuers from which clients get tokens for this edge; the first is the one to take."""
        return (self.oauth_issuer,) if self.oauth_issuer else ()

    @model_validator(mode="after")
    def _resource_is_named(self) -> Self:
        if problems := list(self._resource_problems()):
            raise ValueError("\n  ".join(problems))
        return self

    def _resource_problems(self) -> Iterator[str]:
        """Say what keeps clients from finding out where to get a token."""
        yield from self._issuer_problems("OAUTH_ISSUER", self.oauth_issuer)
        if self.authorization_servers:
            yield from self._identifier_problems("PUBLIC_URL", self.resource)

    def _issuer_problems(self, name: str, issuer: str) -> Iterator[str]:
        if issuer and not is_identifier(issuer, is_production=self.is_production):
            yield f"{name} must be https:// without query (http:// on loopback, in development)"

    def _identifier_problems(self, name: str, uri: str) -> Iterator[str]:
        if not uri:
            yield f"{name} is missing; set it to the address at which clients reach this edge, path included"
        elif not is_identifier(uri, is_production=self.is_production):
            yield f"{name} must be https:// without query (http:// on loopback, in development)"


DatabaseUrl = Annotated[str, Field(pattern="^postgres(ql)?://")]


class DatabaseSettings(TlsSettings):
    """Settings of a service that owns a database."""

    database_url: DatabaseUrl = Field(repr=False)
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10


class MigrationSettings(BaseServiceSettings):
    """Settings of `python -m services.<name> migrate`: who owns the schema, and who uses it."""

    database_url: DatabaseUrl = Field(repr=False)
    database_owner_url: DatabaseUrl = Field(repr=False)

    @model_validator(mode="after")
    def _has_two_roles(self) -> Self:
        app, owner = (urlsplit(url).username for url in (self.database_url, self.database_owner_url))
        if not app or not owner or app == owner:
            raise ValueError("DATABASE_URL and DATABASE_OWNER_URL must name two different users")
        return self


def read_settings(cls: type[S]) -> S:
    """Read and check the environment, or leave with a message that says what to set.

    Raises SystemExit with one line per problem and no secret in it.
    """
    try:
        return cls()
    except ValidationError as error:
        problems = [
            f"{_name(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        ]
    except SettingsError as error:
        problems = [f"{_field_of(error)}: must be JSON"]
    raise SystemExit("\n  ".join(["The configuration cannot be used:", *problems]))


def _field_of(error: SettingsError) -> str:
    # pydantic-settings names the field in its text alone.
    found = re.search(r'field "(\w+)"', str(error))
    return found[1].upper() if found else "settings"


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part).upper() for part in location) or "settings"
