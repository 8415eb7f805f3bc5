"""Settings: what runs is set up for production, and production refuses what is only fit for trying out."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from typing import Final
from urllib.parse import parse_qs, urlsplit

from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.target import Target
from services.cli.environment import ROOT

_START_S: Final = 90.0
_LOCAL: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})
_URLS: Final = ("PUBLIC_URL", "MCP_RESOURCE_SERVER_URL", "OAUTH_ISSUER", "OIDC_ISSUER", "AUTH_JWT_JWKS_URL")
_SECRETS: Final = ("AGENT_API_KEY", "AUTH_JWT_SECRET", "AUTH_JWT_SECRET_PREVIOUS")
_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})
_MANY_A_MINUTE: Final = 10_000
Problem = tuple[Status, str]


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Judge each service's settings, then try to start one with settings that production must refuse."""
    if not target.environments:
        yield skipped("settings.services", "the services' settings are not known here")
    for service, environment in target.environments.items():
        if service != "postgres":
            yield judge(service, environment)
    yield await _refuses()


def judge(service: str, environment: Mapping[str, str]) -> Finding:
    """Judge one service's settings. Values are told only where they are no secrets."""
    is_production = environment.get("MAILWARDEN_ENV") == "production"
    problems = [
        *_modes(environment, is_production=is_production),
        *_addresses(environment),
        *_limits(environment),
    ]
    fails = [text for status, text in problems if status is Status.FAIL]
    warns = [text for status, text in problems if status is Status.WARN]
    name = f"settings.{service}"
    if fails:
        return Finding(name, Status.FAIL, "; ".join(fails + warns))
    return judged(name, warns, "fit for production", worst=Status.WARN)


def _modes(environment: Mapping[str, str], *, is_production: bool) -> list[Problem]:
    grave = Status.FAIL if is_production else Status.WARN
    problems: list[Problem] = []
    if not is_production:
        problems.append((Status.WARN, "MAILWARDEN_ENV is development"))
    if environment.get("LOG_LEVEL", "").upper() == "DEBUG":
        problems.append((grave, "LOG_LEVEL is DEBUG"))
    if is_production and environment.get("EGRESS_ALLOW"):
        problems.append((Status.FAIL, "EGRESS_ALLOW is set"))
    if environment.get("MCP_ENABLE_MUTATION_TOOLS", "").lower() in {"true", "1", "yes", "on"}:
        problems.append((Status.WARN, "MCP_ENABLE_MUTATION_TOOLS lets MCP clients change mail"))
    problems += [
        (grave, f"{name} is in the environment; use {name}_FILE")
        for name in _SECRETS
        if environment.get(name)
    ]
    return problems


def _addresses(environment: Mapping[str, str]) -> list[Problem]:
    problems: list[Problem] = []
    for name in _URLS:
        url = urlsplit(environment.get(name, ""))
        if url.scheme == "http" and url.hostname not in _LOCAL:
            problems.append((Status.FAIL, f"{name} is http"))
    database = urlsplit(environment.get("DATABASE_URL", ""))
    mode = parse_qs(database.query).get("sslmode", [""])[0]
    if (database.hostname or "") not in _LOCAL and mode not in _ENCRYPTED:
        problems.append((Status.FAIL, "DATABASE_URL goes over the network without sslmode=verify-full"))
    redis = urlsplit(environment.get("REDIS_URL", ""))
    if redis.scheme in {"redis", "valkey"} and redis.hostname not in _LOCAL:
        problems.append((Status.WARN, "REDIS_URL goes over the network without TLS"))
    for part in environment.get("TRUSTED_PROXIES", "").split(","):
        with contextlib.suppress(ValueError):
            if part.strip() and ip_network(part.strip()).prefixlen == 0:
                problems.append((Status.FAIL, "TRUSTED_PROXIES believes everybody's X-Forwarded-For"))
    return problems


def _limits(environment: Mapping[str, str]) -> list[Problem]:
    value = environment.get("RATE_LIMIT_PER_MINUTE", "")
    if value.isdecimal() and int(value) > _MANY_A_MINUTE:
        return [(Status.WARN, f"RATE_LIMIT_PER_MINUTE is {value}: no limit to speak of")]
    return []


async def _refuses() -> Finding:
    """Start a mail core of this release in production with EGRESS_ALLOW, and see that it does not."""
    name = "settings.production-refuses"
    nowhere = dict.fromkeys(
        ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE", "MASTER_KEY_FILE"), "/nonexistent"
    )
    environment = {
        **nowhere,
        "PYTHONPATH": str(ROOT),
        "MAILWARDEN_ENV": "production",
        "EGRESS_ALLOW": "127.0.0.0/8",
        "AUTH_ADDRESS": "127.0.0.1:1",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.mail_core", env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_START_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        evidence = f"a mail core with EGRESS_ALLOW was not refused in production within {_START_S:.0f} s"
        return Finding(name, Status.FAIL, evidence)
    if process.returncode and b"EGRESS_ALLOW" in said:
        return Finding(name, Status.PASS, "a mail core with EGRESS_ALLOW does not start in production")
    return Finding(name, Status.FAIL, "a mail core with EGRESS_ALLOW is not refused for it in production")
