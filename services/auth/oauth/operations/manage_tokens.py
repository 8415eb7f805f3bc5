"""Tells what a token is worth (RFC 7662), and takes tokens back (RFC 7009)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.auth.oauth import events
from services.auth.oauth.domain.errors import invalid_client
from services.auth.oauth.domain.grants import REFRESH_PREFIX, Grant, has_form, hash_of
from services.auth.oauth.domain.tokens import AccessToken
from services.auth.oauth.operations.check_access_token import CheckAccessToken
from services.auth.oauth.operations.find_client import Credentials, FindClient
from services.auth.oauth.ports import ApiKeys, Clock, Grants
from services.common.errors import AppError, Kind

NOTHING: dict[str, Any] = {"active": False}


@dataclass(frozen=True, slots=True)
class Introspect:
    """Tell a holder of a key of the same team what a token is worth now."""

    keys: ApiKeys
    check: CheckAccessToken
    grants: Grants
    clock: Clock

    async def __call__(self, text: str, shown: Credentials) -> dict[str, Any]:
        """Give the answer of RFC 7662 §2.2. Raises OAuthError invalid_client."""
        holder = await self.keys.by_secret(shown.secret) if shown.method != "none" else None
        if holder is None or holder.caller.key_id != shown.client_id:
            raise invalid_client()
        team_id = holder.caller.team_id
        if has_form(text, REFRESH_PREFIX):
            return await self._refresh_token(text, team_id)
        token = self.check.read(text)
        # Somebody else's token is not distinguished from no token at all (RFC 7662 §4).
        if token is None or token.team_id != team_id or token.expires_at <= self.clock().timestamp():
            return NOTHING
        try:
            who = await self.check.holder(token)
        except AppError as error:
            if error.kind in {Kind.UNAUTHENTICATED, Kind.NOT_FOUND}:
                return NOTHING
            raise
        claims = token.to_claims() | {"scope": " ".join(sorted(who.caller.scopes))}
        said = {
            name: claims[name] for name in ("iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti")
        }
        return {"active": True, "token_type": "Bearer", **said}

    async def _refresh_token(self, text: str, team_id: str) -> dict[str, Any]:
        grant = await self.grants.find_by_refresh(hash_of(text), self.clock())
        if grant is None or grant.team_id != team_id:
            return NOTHING
        said = {"client_id": grant.client_id, "sub": grant.principal, "scope": " ".join(sorted(grant.scopes))}
        return {"active": True, "iss": self.check.issuer, "aud": grant.resource, **said}


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """Take a token back for the client that it was given to. A refresh token takes its whole grant along."""

    find_client: FindClient
    keys: ApiKeys
    check: CheckAccessToken
    grants: Grants
    clock: Clock

    async def __call__(self, text: str, shown: Credentials) -> None:
        """Revoke. What is not a token of this client is passed over in silence (RFC 7009 §2.2).

        Raises OAuthError invalid_client.
        """
        client_id = await self._client_id(shown)
        if has_form(text, REFRESH_PREFIX):
            # Also one that was replaced: a client that never got the successor must be able to end it.
            grant = await self.grants.find_by_refresh(hash_of(text), self.clock(), also_used=True)
            if grant is not None and grant.client_id == client_id:
                await self._end_grant(grant)
            return
        token = self.check.read(text)
        if token is not None and token.client_id == client_id:
            await self._end_token(token)

    async def _client_id(self, shown: Credentials) -> str:
        if shown.method != "none":
            holder = await self.keys.by_secret(shown.secret)
            if holder is not None and holder.caller.key_id == shown.client_id:
                return shown.client_id
        return (await self.find_client.authenticate(shown)).id

    async def _end_grant(self, grant: Grant) -> None:
        event = events.revoked(grant.team_id, grant.principal, grant.root)
        await self.grants.revoke(grant.team_id, grant.id, self.clock(), event)

    async def _end_token(self, token: AccessToken) -> None:
        ends = datetime.fromtimestamp(token.expires_at, UTC)
        event = events.revoked(token.team_id, token.principal, f"token:{token.id}")
        await self.grants.revoke_token(token.team_id, token.id, ends, event)
