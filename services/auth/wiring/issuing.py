"""How a credential becomes a passport."""

import contextlib
import time
from dataclasses import replace

from services.auth.oauth.wiring import OAuth
from services.auth.operations.check_foreign_token import CheckForeignToken
from services.auth.operations.check_token import CheckToken
from services.auth.operations.issue_passport import IssuePassport
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.auth.wiring.groundwork import Groundwork, now


def issuing(ground: Groundwork, oauth: OAuth | None, stack: contextlib.AsyncExitStack) -> IssuePassport:
    """Put together what turns a credential into a passport; `stack` closes what it opens."""
    return IssuePassport(
        modes=ground.settings.modes,
        check_api_key=ground.check_api_key,
        check_token=_token_check(ground, stack),
        passport_keys=ground.files.passport_keys,
        clock=now,
        check_access_token=oauth.check if oauth is not None else None,
        check_foreign_token=_foreign_token_check(ground, stack),
    )


def _token_check(ground: Groundwork, stack: contextlib.AsyncExitStack) -> CheckToken | None:
    settings, teams = ground.settings, ground.stores.teams
    if not settings.modes.any_takes_tokens:
        return None
    refuse_revoked = RefuseRevoked(ground.stores.rights, settings.token_rules.leeway_s)
    if not settings.auth_jwt_jwks_url:
        return CheckToken(ground.files.environment, settings.token_rules, teams, refuse_revoked, now)
    # Imported only when used: an HTTP client in every process that fetches nothing would be a waste.
    from services.auth.adapters.jwks_issuer import JwksIssuer

    issuer = JwksIssuer(settings.auth_jwt_jwks_url, settings.jwt_algorithms, time.monotonic)
    stack.push_async_callback(issuer.close)
    return CheckToken(issuer, settings.token_rules, teams, refuse_revoked, now)


def _foreign_token_check(ground: Groundwork, stack: contextlib.AsyncExitStack) -> CheckForeignToken | None:
    settings, environment = ground.settings, ground.files.environment
    if not settings.has_introspection:
        return None
    # Imported only when used, as the HTTP client of JWKS is.
    from services.auth.adapters.introspection import IntrospectionEndpoint

    endpoint = IntrospectionEndpoint(
        settings.mcp_oauth_introspection_url,
        settings.mcp_oauth_timeout_seconds,
        settings.mcp_oauth_client_id,
        settings.introspection_secret,
    )
    stack.push_async_callback(endpoint.close)
    return CheckForeignToken(
        introspect=endpoint,
        rules=replace(settings.introspection_rules, leeway_s=settings.auth_jwt_leeway_s),
        team_id=settings.mcp_oauth_team_id,
        teams=ground.stores.teams,
        refuse_revoked=RefuseRevoked(ground.stores.rights, settings.auth_jwt_leeway_s),
        environment=environment,
        own_secrets=environment,
        clock=now,
    )
