"""The one place where the authorization server is put together."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from services.auth.audit_ports import AuditLog
from services.auth.oauth.adapters.browser_seals import BrowserSeals
from services.auth.oauth.adapters.client_documents import HttpClientDocuments
from services.auth.oauth.adapters.file_token_keys import FileTokenKeys, UnusableTokenKeyError
from services.auth.oauth.adapters.key_holders import KeyHolders
from services.auth.oauth.adapters.oidc import ClosableKeys, OidcProvider, OidcRules, may_still
from services.auth.oauth.adapters.postgres_blocked import PostgresBlockedClients
from services.auth.oauth.adapters.postgres_clients import PostgresClients
from services.auth.oauth.adapters.postgres_grants import PostgresGrants
from services.auth.oauth.adapters.postgres_sessions import PostgresSessions
from services.auth.oauth.adapters.told_events import ToldEvents
from services.auth.oauth.domain.resources import Resources
from services.auth.oauth.events import limit_hit
from services.auth.oauth.http.browser_routes import BrowserRoutes, SignIns
from services.auth.oauth.http.browsers import Browsers
from services.auth.oauth.http.client_routes import ClientRoutes
from services.auth.oauth.http.limiting import AddressLimits
from services.auth.oauth.http.server import OAuthServer, build_app
from services.auth.oauth.operations.authorize import GiveConsent, ReadRequest
from services.auth.oauth.operations.backing import CheckBacking
from services.auth.oauth.operations.check_access_token import CheckAccessToken
from services.auth.oauth.operations.find_client import FindClient
from services.auth.oauth.operations.issue_tokens import IssueTokens
from services.auth.oauth.operations.manage_tokens import Introspect, RevokeToken
from services.auth.oauth.operations.own_grants import OwnGrants
from services.auth.oauth.operations.register_client import RegisterClient
from services.auth.oauth.operations.sessions import BeginSession, CheckSession, EndSession
from services.auth.oauth.operations.sign_in import SignInWithKey
from services.auth.oauth.settings import OAuthSettings
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.ports import Teams
from services.common.audit_notes import RefusalNotes
from services.common.database import Database
from services.common.limits_edge import windows_of

_DRAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What auth lends to its authorization server. `keys_at` follows the JWK Set of an identity provider."""

    database: Database
    teams: Teams
    audit: AuditLog
    check_api_key: CheckApiKey
    notes: RefusalNotes
    grants: PostgresGrants
    environment_ids: Container[str]
    keys_at: Callable[[str], ClosableKeys]


@dataclass(frozen=True, slots=True)
class OAuth:
    """An authorization server that is built."""

    app: web.Application
    check: CheckAccessToken
    signing_key_id: Callable[[], str]


@contextlib.asynccontextmanager
async def oauth_built(settings: OAuthSettings, parts: Parts) -> AsyncIterator[OAuth]:
    """Build the authorization server and close what it opened. Raises SystemExit for a bad key file."""
    token_keys = _token_keys(settings)
    async with contextlib.AsyncExitStack() as stack:
        events = ToldEvents(parts.audit, parts.notes)
        limits = AddressLimits(windows_of(settings), settings, lambda limit: events.tell(limit_hit(limit)))
        stack.push_async_callback(limits.close)
        rules = _rules(settings)
        provider = None if rules is None else OidcProvider(rules, parts.teams, parts.keys_at)
        if provider is not None:
            stack.push_async_callback(provider.close)
        keys = KeyHolders(parts.check_api_key, parts.database, parts.teams, parts.environment_ids, _now)
        grants, clients = parts.grants, PostgresClients(parts.database, parts.audit)
        sessions = PostgresSessions(parts.database, parts.audit)
        blocked = PostgresBlockedClients(parts.database, parts.audit)
        find_client = FindClient(clients, HttpClientDocuments(settings.link_policy), blocked)
        resources, issuer = Resources(settings.resources), settings.oauth_issuer
        backing = CheckBacking(keys, parts.teams, lambda grant: may_still(grant, rules))
        check = CheckAccessToken(issuer, token_keys, grants, keys, backing, _now)
        seals = BrowserSeals(lambda: tuple(key.seal_key for key in token_keys.current()))
        begin = BeginSession(sessions, _now)
        client_routes = ClientRoutes(
            issue_tokens=IssueTokens(
                find_client=find_client,
                grants=grants,
                keys=keys,
                backing=backing,
                token_keys=token_keys,
                events=events,
                resources=resources,
                issuer=issuer,
                life_s=settings.oauth_token_ttl_s,
                clock=_now,
                random_bytes=secrets.token_bytes,
            ),
            register=RegisterClient(clients, _now, secrets.token_bytes)
            if settings.oauth_registration
            else None,
            introspect=Introspect(keys, check, grants, _now),
            revoke=RevokeToken(find_client, keys, check, grants, _now),
            token_keys=token_keys,
            issuer=issuer,
        )
        browser_routes = BrowserRoutes(
            read_request=ReadRequest(find_client, resources, issuer),
            give_consent=GiveConsent(
                find_client, grants, keys, parts.teams, _now, secrets.token_bytes, issuer
            ),
            sign_ins=SignIns(
                with_key=SignInWithKey(keys, events, begin),
                begin=begin,
                check=CheckSession(sessions, _now),
                end=EndSession(sessions, _now),
            ),
            own_grants=OwnGrants(grants, _now),
            provider=provider,
            browsers=Browsers(seals, issuer),
            events=events,
            issuer=issuer,
            prefix=urlsplit(issuer).path,
        )
        app = build_app(client_routes, browser_routes, limits)
        yield OAuth(app, check, lambda: token_keys.current()[0].jwk["kid"])


@contextlib.asynccontextmanager
async def oauth_serving(oauth: OAuth, host: str, port: int, drain_s: float = _DRAIN_S) -> AsyncIterator[int]:
    """Listen inside the block, then drain; gives the port."""
    server = OAuthServer(oauth.app, drain_s)
    try:
        yield await server.start(host, port)
    finally:
        await server.close()


def _token_keys(settings: OAuthSettings) -> FileTokenKeys:
    if settings.oauth_key_file is None:
        raise SystemExit("The configuration cannot be used:\n  OAUTH_KEY_FILE is missing")
    try:
        return FileTokenKeys.load(settings.oauth_key_file, may_create=not settings.is_production)
    except UnusableTokenKeyError as error:
        raise SystemExit(f"The configuration cannot be used:\n  {error}") from None


def _rules(settings: OAuthSettings) -> OidcRules | None:
    if not settings.oidc_issuer:
        return None
    return OidcRules(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_secret,
        redirect_uri=f"{settings.oauth_issuer}/oauth/callback",
        team_id=settings.oidc_team_id,
        emails=frozenset(email.lower() for email in settings.oidc_allowed_emails),
        domains=frozenset(domain.lower().removeprefix("@") for domain in settings.oidc_allowed_domains),
        allow_http=not settings.is_production,
    )


def _now() -> datetime:
    return datetime.now(UTC)
