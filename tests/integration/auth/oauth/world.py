"""A real authorization server over HTTP and PostgreSQL, in this process, and a browser to use it with."""

import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import aiohttp
import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.adapters.jwks_issuer import JwksIssuer
from services.auth.adapters.postgres_keys import PostgresKeys
from services.auth.adapters.postgres_teams import PostgresTeams
from services.auth.domain.api_key import EnvironmentKeys, hash_of, secret_of
from services.auth.domain.scopes import ALL_SCOPES
from services.auth.oauth.adapters.postgres_grants import PostgresGrants
from services.auth.oauth.domain.pkce import challenge_of
from services.auth.oauth.settings import OAuthSettings
from services.auth.oauth.wiring import OAuth, Parts, oauth_built, oauth_serving
from services.auth.operations.check_api_key import CheckApiKey
from services.common.audit import AuditEvent
from services.common.audit_notes import RefusalNotes
from services.common.database import Database
from services.common.errors import unavailable
from tests.postgres import Databases

RESOURCE = "https://mail.example/mcp"
OTHER_RESOURCE = "https://mail.example/a2a"
REDIRECT = "http://127.0.0.1:7777/callback"
VERIFIER = "v" * 43
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of a team, with its secret."""

    id: str
    secret: str
    team_id: str


@dataclass(slots=True)
class Answer:
    """An HTTP answer, read."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> dict[str, Any]:
        import json

        return json.loads(self.text)

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @property
    def sent(self) -> dict[str, str]:
        """The parameters of the redirect."""
        return dict(parse_qsl(urlsplit(self.location).query))

    def field(self, name: str) -> str:
        """A hidden field of the page."""
        found = re.search(rf'name={name} value="([^"]*)"', self.text)
        assert found, self.text
        return unescape(found[1])


class BreakableAudit(PostgresAudit):
    """The real audit log, which can be told to fail where it is about to record."""

    is_broken = False

    async def record(self, connection: AsyncConnection, *events: AuditEvent) -> int:
        self._fail()
        return await super().record(connection, *events)

    async def append(self, events: Sequence[AuditEvent]) -> int:
        self._fail()
        return await super().append(events)

    def _fail(self) -> None:
        if self.is_broken:
            raise unavailable("DATABASE_DOWN", "The database does not answer.")


@dataclass(slots=True)
class World:
    """The server and ways to use it."""

    issuer: str
    oauth: OAuth
    database: Database
    admin_url: str
    session: aiohttp.ClientSession
    audit: BreakableAudit
    notes: RefusalNotes
    cookies: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        """One request, as a program makes it: no cookies, no redirects."""
        url = path if path.startswith("http") else self.issuer + path
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def browse(self, method: str, path: str, **options: Any) -> Answer:
        """One request of the one browser, which keeps cookies."""
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**({"Cookie": jar} if jar else {}), **options.pop("headers", {})}
        answer = await self.call(method, path, headers=headers, **options)
        for text in answer.headers.getall("Set-Cookie", []):
            name, _, value = text.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def token(self, **form: str) -> Answer:
        return await self.call("POST", "/oauth/token", data=form)

    async def register(self, **said: Any) -> dict[str, Any]:
        body = {"client_name": "Test agent", "redirect_uris": [REDIRECT], **said}
        answer = await self.call("POST", "/oauth/register", json=body)
        assert answer.status == 201, answer.text
        return answer.json

    async def team(self) -> str:
        team_id = str(uuid4())
        await self.own("INSERT INTO teams (id, name) VALUES (%s, 'Team of tests')", team_id)
        return team_id

    async def key(self, team_id: str = "", scopes: frozenset[str] = ALL_SCOPES, **more: Any) -> Key:
        """Make a key. Default: an admin key of a new team."""
        team_id = team_id or await self.team()
        key_id, secret = str(uuid4()), secret_of(uuid4().bytes + uuid4().bytes)
        async with self.database.team(team_id) as connection:
            await connection.execute(
                sa.text(
                    "INSERT INTO api_keys (id, team_id, label, key_hash, scopes, read_only, expires_at)"
                    " VALUES (:id, :team, 'k', :hash, :scopes, :read_only, :expires_at)"
                ),
                {
                    "id": key_id,
                    "team": team_id,
                    "hash": hash_of(secret),
                    "scopes": sorted(scopes),
                    "read_only": more.get("read_only", False),
                    "expires_at": more.get("expires_at"),
                },
            )
        return Key(key_id, secret, team_id)

    async def revoke_key(self, key: Key) -> None:
        await self.own("UPDATE api_keys SET revoked_at = now() WHERE id = %s", key.id)

    async def own(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As an administrator who is above row-level security."""
        async with await psycopg.AsyncConnection.connect(self.admin_url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    def asking(self, client_id: str, **changes: str) -> str:
        """The path that a client sends a person to."""
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": REDIRECT,
            "scope": "mail:scan unsubscribe:read",
            "state": "st",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            **changes,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in asked.items() if value})

    async def sign_in(self, client_id: str, key: Key, **changes: str) -> Answer:
        """As far as the consent page."""
        self.cookies.clear()
        page = await self.browse("GET", self.asking(client_id, **changes))
        form = {"ticket": page.field("ticket"), "key": key.secret}
        return await self.browse("POST", "/oauth/sign-in", data=form)

    async def consent(self, page: Answer, *scopes: str, decision: str = "allow") -> Answer:
        ticked = {f"scope:{scope}": "on" for scope in scopes}
        form = {"ticket": page.field("ticket"), "decision": decision, **ticked}
        return await self.browse("POST", "/oauth/consent", data=form)

    async def code(self, client_id: str, key: Key, **changes: str) -> str:
        page = await self.sign_in(client_id, key, **changes)
        answer = await self.consent(page, "mail:scan", "unsubscribe:read")
        assert answer.status == 303, answer.text
        return answer.sent["code"]

    async def redeem(self, client_id: str, code: str, **changes: str) -> Answer:
        form = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            "resource": RESOURCE,
            **changes,
        }
        return await self.token(**{name: value for name, value in form.items() if value})

    async def refresh(self, client_id: str, token: str, **changes: str) -> Answer:
        return await self.token(
            grant_type="refresh_token", client_id=client_id, refresh_token=token, **changes
        )


@contextlib.asynccontextmanager
async def running_world(databases: Databases, folder: Path, **settings: str) -> AsyncIterator[World]:
    """Serve on loopback while the block runs. `path` is put behind the issuer's host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}{settings.pop('path', '')}"
    values = OAuthSettings(
        **{
            "database_url": databases.auth.app_url,
            **dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_ca_file"), "/dev/null"),
            "oauth_listen": f"127.0.0.1:{port}",
            "oauth_issuer": issuer,
            "oauth_resources": f"{RESOURCE},{OTHER_RESOURCE}",
            "oauth_key_file": str(folder / f"oauth-{port}.pem"),
            # Every test comes from one address.
            "rate_limit_address_per_minute": "100000",
            "rate_limit_failures_per_minute": "100000",
            "oauth_sign_ins_per_minute": "100000",
            "oauth_registrations_per_minute": "100000",
            **settings,
        }  # type: ignore[arg-type]
    )
    database = Database(databases.auth.app_url, pool_size=8)
    audit = BreakableAudit(database)
    teams = PostgresTeams(database, audit)
    check = CheckApiKey(EnvironmentKeys(()), PostgresKeys(database), teams, lambda: datetime.now(UTC))

    def keys_at(url: str) -> JwksIssuer:
        return JwksIssuer(url, frozenset({"RS256", "ES256", "EdDSA"}), time.monotonic)

    notes, grants = RefusalNotes(audit.append), PostgresGrants(database, audit)
    parts = Parts(database, teams, audit, check, notes, grants, frozenset(), keys_at)
    admin_url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with (
        oauth_built(values, parts) as oauth,
        oauth_serving(oauth, "127.0.0.1", port, 0.1),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield World(issuer, oauth, database, admin_url, session, audit, notes)
    await database.close()
