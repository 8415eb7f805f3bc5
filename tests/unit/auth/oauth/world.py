"""The authorization server's operations on fakes, with a clock that stands still until it is moved."""

import secrets
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.auth.domain.scopes import ALL_SCOPES
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.errors import OAuthError, invalid_client
from services.auth.oauth.domain.grants import Grant, Person
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.domain.pkce import challenge_of
from services.auth.oauth.domain.resources import Resources
from services.auth.oauth.operations.authorize import GiveConsent, ReadRequest
from services.auth.oauth.operations.backing import CheckBacking
from services.auth.oauth.operations.check_access_token import CheckAccessToken
from services.auth.oauth.operations.find_client import Credentials, FindClient
from services.auth.oauth.operations.issue_tokens import IssueTokens, Tokens
from services.auth.oauth.operations.manage_tokens import Introspect, RevokeToken
from services.auth.oauth.operations.own_grants import OwnGrants
from services.auth.oauth.operations.sessions import BeginSession, CheckSession, EndSession
from services.auth.oauth.operations.sign_in import SignInWithKey
from services.auth.oauth.ports import KeyHolder
from services.common.errors import AppError
from services.common.identity import Caller, Restrictions
from tests.fakes.auth_store import MemoryTeams
from tests.fakes.oauth_store import (
    Ledger,
    MemoryApiKeys,
    MemoryBlockedClients,
    MemoryClients,
    MemoryGrants,
    MemorySessions,
    OpenTokenKeys,
)
from tests.unit.auth.operations.world import Clock

ISSUER = "https://auth.example"
RESOURCE = "https://mail.example/mcp"
REDIRECT = "https://client.example/cb"
VERIFIER = "v" * 43
SCOPES = "mail:scan unsubscribe:read"


class NoDocuments:
    async def fetch(self, url: str) -> Client:
        del url
        raise invalid_client()


@dataclass
class OAuthWorld:
    """One client, `mc_` and 22 times A, and one person with an admin key."""

    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(default_factory=Ledger)
    keys: MemoryApiKeys = field(default_factory=MemoryApiKeys)
    teams: MemoryTeams = field(default_factory=MemoryTeams)
    token_keys: OpenTokenKeys = field(default_factory=OpenTokenKeys)
    welcome: bool = True
    client: Client = field(default_factory=lambda: Client("mc_" + "A" * 22, "Agent", (REDIRECT,)))

    def __post_init__(self) -> None:
        self.sessions = MemorySessions(self.ledger)
        self.grants = MemoryGrants(self.ledger, self.sessions)
        self.blocked = MemoryBlockedClients(self.ledger)
        self.clients = MemoryClients(self.ledger, {self.client.id: self.client})
        find = FindClient(self.clients, NoDocuments(), self.blocked)
        resources = Resources((RESOURCE, "https://mail.example/a2a"))
        backing = CheckBacking(self.keys, self.teams, lambda grant: bool(grant.key_id) or self.welcome)
        self.check = CheckAccessToken(ISSUER, self.token_keys, self.grants, self.keys, backing, self.clock)
        self.read = ReadRequest(find, resources, ISSUER)
        self.consent = GiveConsent(
            find, self.grants, self.keys, self.teams, self.clock, secrets.token_bytes, ISSUER
        )
        self.begin = BeginSession(self.sessions, self.clock)
        self.stands = CheckSession(self.sessions, self.clock)
        self.end = EndSession(self.sessions, self.clock)
        self.own = OwnGrants(self.grants, self.clock)
        self.sign_in = SignInWithKey(self.keys, self.ledger, self.begin)
        self.issue = IssueTokens(
            find_client=find,
            grants=self.grants,
            keys=self.keys,
            backing=backing,
            token_keys=self.token_keys,
            events=self.ledger,
            resources=resources,
            issuer=ISSUER,
            life_s=3_600,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )
        self.introspect = Introspect(self.keys, self.check, self.grants, self.clock)
        self.revoke = RevokeToken(find, self.keys, self.check, self.grants, self.clock)

    def key(self, secret: str = "ma_admin", **changes: Any) -> KeyHolder:
        caller = Caller(
            team_id=DEFAULT_TEAM_ID,
            team_name="Default team",
            principal=f"key:{secret}",
            key_id=secret,
            credential_kind="api_key",
            scopes=ALL_SCOPES,
            restrictions=changes.pop("restrictions", Restrictions()),
            roots=frozenset({f"team:{DEFAULT_TEAM_ID}", f"key:{secret}"}),
        )
        expires_at = changes.pop("expires_at", None)
        holder = KeyHolder(replace(caller, **changes), expires_at)
        self.keys.holders[secret] = holder
        return holder

    async def person(self) -> Person:
        self.key()
        return await self.sign_in("ma_admin")

    async def code(self, person: Person, **changes: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": REDIRECT,
            "scope": SCOPES,
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            **changes,
        }
        read = await self.read(Parameters(asked))
        uri = await self.consent(read, person, frozenset(SCOPES.split()))
        return dict(parse_qsl(urlsplit(uri).query))["code"]

    async def redeem(self, code: str, **changes: str) -> Tokens:
        form = {"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **changes}
        return await self.token("authorization_code", None, **form)

    async def refresh(self, token: str, **changes: str) -> Tokens:
        return await self.token("refresh_token", None, refresh_token=token, **changes)

    async def token(self, kind: str, credentials: Credentials | None = None, **form: str) -> Tokens:
        shown = credentials or Credentials(form.pop("client_id", self.client.id))
        return await self.issue(Parameters({"grant_type": kind, **form}), shown)

    async def granted(self) -> tuple[Person, Tokens]:
        person = await self.person()
        return person, await self.redeem(await self.code(person))

    async def state_of(self, token: str) -> str:
        try:
            await self.check(token, RESOURCE)
        except AppError as error:
            return error.reason
        return "ACCEPTED"

    def only_grant(self) -> Grant:
        (grant,) = self.grants.grants.values()
        return grant


async def refused(work: Any) -> str:
    """The OAuth code of a refusal; empty when there was none."""
    try:
        await work
    except OAuthError as error:
        return error.code
    return ""
