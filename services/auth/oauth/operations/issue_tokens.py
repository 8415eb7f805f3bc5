"""Makes access tokens: for a code, for a refresh token, and for an API key."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.auth.oauth import events
from services.auth.oauth.domain.errors import OAuthError, invalid_client, invalid_grant, invalid_request
from services.auth.oauth.domain.grants import (
    ACCESS_PREFIX,
    CODE_PREFIX,
    REFRESH_LIFE,
    REFRESH_PREFIX,
    SECRET_BYTES,
    Grant,
    RefreshToken,
    has_form,
    hash_of,
    secret_of,
)
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.domain.pkce import proves
from services.auth.oauth.domain.resources import Resources, canonical
from services.auth.oauth.domain.scopes import requested_scopes
from services.auth.oauth.domain.tokens import MAX_LIFE_S, MIN_LIFE_S, AccessToken
from services.auth.oauth.operations.find_client import Credentials, FindClient
from services.auth.oauth.ports import ApiKeys, Clock, Events, Grants, RandomBytes, Redemption, TokenKeys

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets."""

    access_token: str = field(repr=False)
    life_s: int
    scopes: frozenset[str]
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Owner:
    team_id: str
    principal: str
    client_id: str
    resource: str
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTokens:
    """The token endpoint. `life_s` is that of an access token."""

    find_client: FindClient
    grants: Grants
    keys: ApiKeys
    token_keys: TokenKeys
    events: Events
    resources: Resources
    issuer: str
    life_s: int
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, parameters: Parameters, shown: Credentials) -> Tokens:
        """Give tokens. Raises OAuthError of RFC 6749 §5.2, or invalid_target."""
        kind = parameters.require("grant_type")
        try:
            match kind:
                case "authorization_code":
                    return await self._for_code(parameters, shown)
                case "refresh_token":
                    return await self._for_refresh_token(parameters, shown)
                case "client_credentials":
                    return await self._for_key(parameters, shown)
        except OAuthError as error:
            await self.events.tell(events.refused(error.code, kind))
            raise
        raise OAuthError("unsupported_grant_type", f"There are: {', '.join(GRANT_TYPES)}.")

    async def _for_code(self, parameters: Parameters, shown: Credentials) -> Tokens:
        client = await self.find_client.authenticate(shown)
        code, verifier = parameters.require("code"), parameters.require("code_verifier")
        redirect_uri = parameters.require("redirect_uri")
        if not has_form(code, CODE_PREFIX):
            raise invalid_grant()
        named = parameters.get("resource")
        secret, kept = self._refresh_token()
        redemption = Redemption(
            client_id=client.id,
            redirect_uri=redirect_uri,
            resource=self.resources.choose(named) if named else "",
            proves=lambda challenge: proves(verifier, challenge),
            refresh=kept,
            at=self.clock(),
        )
        grant = await self.grants.redeem(hash_of(code), redemption)
        if grant is None or not await self._is_backed(grant):
            raise invalid_grant()
        return await self._for_grant(grant, grant.scopes, secret, "authorization_code")

    async def _for_refresh_token(self, parameters: Parameters, shown: Credentials) -> Tokens:
        client = await self.find_client.authenticate(shown)
        presented = parameters.require("refresh_token")
        if not has_form(presented, REFRESH_PREFIX):
            raise invalid_grant()
        secret, kept = self._refresh_token()
        now = self.clock()
        # Before the token is used up: a client that asks for the wrong thing may ask again.
        before = await self.grants.find_by_refresh(hash_of(presented), now)
        if before is not None and before.client_id == client.id:
            _check_target(parameters.get("resource"), before)
            requested_scopes(parameters.get("scope"), before.scopes)
        grant = await self.grants.rotate(hash_of(presented), client.id, kept, now)
        if grant is None or not await self._is_backed(grant):
            raise invalid_grant()
        scopes = requested_scopes(parameters.get("scope"), grant.scopes)
        return await self._for_grant(grant, scopes, secret, "refresh_token")

    async def _for_key(self, parameters: Parameters, shown: Credentials) -> Tokens:
        # Only a key makes a token. A token in its place is no key, so a token never lives on in another.
        holder = await self.keys.by_secret(shown.secret) if shown.method != "none" else None
        if holder is None or holder.caller.key_id != shown.client_id:
            raise invalid_client()
        caller = holder.caller
        resource = self.resources.choose(parameters.get("resource"))
        scopes = requested_scopes(parameters.get("scope"), caller.scopes)
        life_s = self._life_s(parameters.get("expires_in"))
        if holder.expires_at is not None:
            life_s = min(life_s, int((holder.expires_at - self.clock()).total_seconds()))
        owner = _Owner(
            caller.team_id,
            caller.principal,
            caller.key_id,
            resource,
            tuple(sorted(caller.roots | {f"client:{caller.key_id}"})),
        )
        return await self._signed(self._token(owner, scopes, life_s), "client_credentials", "")

    async def _for_grant(self, grant: Grant, scopes: frozenset[str], refresh: str, kind: str) -> Tokens:
        life_s = min(self.life_s, int((grant.expires_at - self.clock()).total_seconds()))
        owner = _Owner(grant.team_id, grant.principal, grant.client_id, grant.resource, grant.roots())
        return await self._signed(self._token(owner, scopes, life_s), kind, refresh)

    async def _signed(self, token: AccessToken, kind: str, refresh: str) -> Tokens:
        await self.events.tell(events.issued(token.team_id, token.principal, token.id, kind, token.scopes))
        text = ACCESS_PREFIX + self.token_keys.sign(token.to_claims())
        return Tokens(text, token.expires_at - token.issued_at, token.scopes, refresh)

    def _token(self, owner: _Owner, scopes: frozenset[str], life_s: int) -> AccessToken:
        now_s, token_id = int(self.clock().timestamp()), secrets.token_hex(16)
        return AccessToken(
            issuer=self.issuer,
            resource=owner.resource,
            principal=owner.principal,
            client_id=owner.client_id,
            scopes=scopes,
            issued_at=now_s,
            expires_at=now_s + max(life_s, 0),
            id=token_id,
            team_id=owner.team_id,
            roots=(*owner.roots, f"token:{token_id}"),
        )

    def _refresh_token(self) -> tuple[str, RefreshToken]:
        secret = secret_of(REFRESH_PREFIX, self.random_bytes(SECRET_BYTES))
        return secret, RefreshToken(hash_of(secret), self._end_of_refresh())

    def _end_of_refresh(self) -> datetime:
        return self.clock() + REFRESH_LIFE

    def _life_s(self, text: str) -> int:
        if not text:
            return self.life_s
        if not text.isascii() or not text.isdigit() or not MIN_LIFE_S <= int(text[:9]) <= MAX_LIFE_S:
            raise invalid_request(f"expires_in must be {MIN_LIFE_S} to {MAX_LIFE_S} seconds.")
        return int(text)

    async def _is_backed(self, grant: Grant) -> bool:
        """Whether the key that the person signed in with still counts."""
        return not grant.key_id or await self.keys.by_id(grant.team_id, grant.key_id) is not None


def _check_target(named: str, grant: Grant) -> None:
    if named and canonical(named) != grant.resource:
        raise OAuthError("invalid_target", "The grant is for another resource.")
