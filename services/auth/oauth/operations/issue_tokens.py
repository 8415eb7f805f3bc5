"""Makes access tokens: for a code, for a refresh token, and for an API key."""

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.auth.domain.revocation import in_team
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
from services.auth.oauth.operations.backing import CheckBacking
from services.auth.oauth.operations.find_client import Credentials, FindClient
from services.auth.oauth.ports import (
    ApiKeys,
    Clock,
    Events,
    Grants,
    RandomBytes,
    Redemption,
    Rotation,
    TokenKeys,
)
from services.common.errors import AppError, Kind

_SECONDS: Final = re.compile(r"[1-9][0-9]{0,5}")
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
    backing: CheckBacking
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
        resource = self.resources.choose(named) if named else ""
        now, token_id = self.clock(), _new_token_id()
        await self._check_backed(await self.grants.find_by_code(hash_of(code), now))
        secret, kept = self._refresh_token()
        redemption = Redemption(
            client_id=client.id,
            redirect_uri=redirect_uri,
            resource=resource,
            proves=lambda challenge: proves(verifier, challenge),
            refresh=kept,
            at=now,
            event=lambda grant: events.issued(
                self._of_grant(grant, grant.scopes, token_id), "authorization_code", grant.root
            ),
        )
        grant = await self.grants.redeem(hash_of(code), redemption)
        if grant is None:
            raise invalid_grant()
        return self._signed(self._of_grant(grant, grant.scopes, token_id), secret)

    async def _for_refresh_token(self, parameters: Parameters, shown: Credentials) -> Tokens:
        client = await self.find_client.authenticate(shown)
        presented = parameters.require("refresh_token")
        if not has_form(presented, REFRESH_PREFIX):
            raise invalid_grant()
        now, token_id = self.clock(), _new_token_id()
        # Before the token is used up: a client that asks for the wrong thing may ask again.
        before = await self.grants.find_by_refresh(hash_of(presented), now)
        if before is not None and before.client_id == client.id:
            _check_target(parameters.get("resource"), before)
            requested_scopes(parameters.get("scope"), before.scopes)
            await self._check_backed(before)

        def scopes_of(grant: Grant) -> frozenset[str]:
            return requested_scopes(parameters.get("scope"), grant.scopes)

        secret, kept = self._refresh_token()
        rotation = Rotation(
            client_id=client.id,
            refresh=kept,
            at=now,
            event=lambda grant: events.issued(
                self._of_grant(grant, scopes_of(grant), token_id), "refresh_token", grant.root
            ),
        )
        grant = await self.grants.rotate(hash_of(presented), rotation)
        if grant is None:
            raise invalid_grant()
        return self._signed(self._of_grant(grant, scopes_of(grant), token_id), secret)

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
        token = self._token(owner, scopes, life_s, _new_token_id())
        # Nothing of a token is kept but this: without it there is no token.
        await self.events.record(events.issued(token, "client_credentials", f"key:{caller.key_id}"))
        return self._signed(token, "")

    def _of_grant(self, grant: Grant, scopes: frozenset[str], token_id: str) -> AccessToken:
        life_s = min(self.life_s, int((grant.expires_at - self.clock()).total_seconds()))
        owner = _Owner(grant.team_id, grant.principal, grant.client_id, grant.resource, grant.roots())
        return self._token(owner, scopes, life_s, token_id)

    def _signed(self, token: AccessToken, refresh: str) -> Tokens:
        text = ACCESS_PREFIX + self.token_keys.sign(token.to_claims())
        return Tokens(text, token.expires_at - token.issued_at, token.scopes, refresh)

    def _token(self, owner: _Owner, scopes: frozenset[str], life_s: int, token_id: str) -> AccessToken:
        now_s = int(self.clock().timestamp())
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
            roots=(*owner.roots, in_team(owner.team_id, f"token:{token_id}")),
        )

    def _refresh_token(self) -> tuple[str, RefreshToken]:
        secret = secret_of(REFRESH_PREFIX, self.random_bytes(SECRET_BYTES))
        return secret, RefreshToken(hash_of(secret), self._end_of_refresh())

    def _end_of_refresh(self) -> datetime:
        return self.clock() + REFRESH_LIFE

    def _life_s(self, text: str) -> int:
        if not text:
            return self.life_s
        if not _SECONDS.fullmatch(text) or not MIN_LIFE_S <= int(text) <= MAX_LIFE_S:
            raise invalid_request(f"expires_in must be {MIN_LIFE_S} to {MAX_LIFE_S} seconds.")
        return int(text)

    async def _check_backed(self, grant: Grant | None) -> None:
        """Refuse a grant whose key, person or team is gone, before anything of it is used up."""
        try:
            if grant is not None:
                await self.backing(grant)
        except AppError as error:
            if error.kind in {Kind.UNAUTHENTICATED, Kind.NOT_FOUND}:
                raise invalid_grant() from error
            raise


def _new_token_id() -> str:
    return secrets.token_hex(16)


def _check_target(named: str, grant: Grant) -> None:
    if named and canonical(named) != grant.resource:
        raise OAuthError("invalid_target", "The grant is for another resource.")
