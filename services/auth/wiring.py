"""The one place where auth is put together."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from protos.auth.v1 import auth_pb2
from services.auth.adapters.file_passport_keys import FilePassportKeys, UnusableKeyError
from services.auth.adapters.postgres_keys import PostgresKeys, PostgresTeams
from services.auth.adapters.secret_issuer import SecretIssuer
from services.auth.domain.api_key import EnvironmentKeys
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.operations.check_token import CheckToken
from services.auth.operations.create_api_key import CreateApiKey
from services.auth.operations.issue_passport import IssuePassport
from services.auth.servicer import AuthAdminServicer, AuthServicer
from services.auth.settings import AuthSettings, describe
from services.common.backend_process import Built
from services.common.database import Database
from services.common.dispatch import Dispatcher
from services.common.grpc_server import GrpcServer, Service
from services.common.identity import PassportVerifier
from services.common.telemetry import get_logger
from services.common.tls import TlsFiles

SERVICE: Final = "auth"
"""Our name, which is also the audience of passports that are for us."""
_PROBE_TIMEOUT_S: Final = 2.0


@contextlib.asynccontextmanager
async def built(settings: AuthSettings) -> AsyncIterator[Built]:
    """Build auth and close what it opened. Nothing listens yet. Raises SystemExit for a bad key file."""
    passport_keys = _passport_keys(settings)
    get_logger().info("configured", **describe(settings))
    async with contextlib.AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        keys, teams = PostgresKeys(database), PostgresTeams(database)
        issue = IssuePassport(
            modes=settings.modes,
            check_api_key=CheckApiKey(EnvironmentKeys(settings.agent_api_keys), keys, teams, _now),
            check_token=_token_check(settings, teams, stack),
            passport_keys=passport_keys,
            clock=_now,
        )
        servicer = AuthServicer(issue, passport_keys, teams)
        admin = AuthAdminServicer(CreateApiKey(keys, teams, _now, secrets.token_bytes), teams)
        dispatcher = Dispatcher(SERVICE, PassportVerifier(SERVICE, passport_keys.find))
        services = auth_pb2.DESCRIPTOR.services_by_name
        server = GrpcServer(
            dispatcher,
            TlsFiles.of(settings),
            [Service(services["AuthService"], servicer), Service(services["AuthAdminService"], admin)],
        )
        yield Built(server, lambda: _is_ready(teams))


async def _is_ready(teams: PostgresTeams) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await teams.is_ready()
    except TimeoutError:
        return False


def _passport_keys(settings: AuthSettings) -> FilePassportKeys:
    files = (settings.passport_key_file, settings.passport_key_previous_file)
    try:
        return FilePassportKeys.load(*files, may_create=not settings.is_production)
    except UnusableKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def _token_check(
    settings: AuthSettings, teams: PostgresTeams, stack: contextlib.AsyncExitStack
) -> CheckToken | None:
    if not settings.modes.any_takes_tokens:
        return None
    if not settings.auth_jwt_jwks_url:
        return CheckToken(SecretIssuer(settings.jwt_secrets), settings.token_rules, teams, _now)
    # Imported only when used: an HTTP client in every process that fetches nothing would be a waste.
    from services.auth.adapters.jwks_issuer import JwksIssuer

    issuer = JwksIssuer(settings.auth_jwt_jwks_url, settings.jwt_algorithms, time.monotonic)
    stack.push_async_callback(issuer.close)
    return CheckToken(issuer, settings.token_rules, teams, _now)


def _now() -> datetime:
    return datetime.now(UTC)
