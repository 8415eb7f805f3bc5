"""Finds out whether text is an access token that counts now, and whom it names."""

from dataclasses import dataclass, replace

from services.auth.domain.passport import Authenticated
from services.auth.domain.refusals import credential_invalid, token_expired, token_revoked
from services.auth.oauth.domain.grants import ACCESS_PREFIX, Grant
from services.auth.oauth.domain.resources import canonical
from services.auth.oauth.domain.tokens import MAX_CHARS, AccessToken
from services.auth.oauth.operations.backing import CheckBacking
from services.auth.oauth.ports import ApiKeys, Clock, Grants, TokenKeys
from services.common.errors import AppError, unauthenticated
from services.common.identity import Caller
from services.common.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class CheckAccessToken:
    """Verify a token's signature, then ask whether all that it hangs on still stands."""

    issuer: str
    token_keys: TokenKeys
    grants: Grants
    keys: ApiKeys
    backing: CheckBacking
    clock: Clock

    async def __call__(self, text: str, resource: str) -> Authenticated:
        """Say whom a token names that was shown at a resource.

        Raises AppError UNAUTHENTICATED CREDENTIAL_INVALID, TOKEN_EXPIRED, TOKEN_AUDIENCE_REFUSED,
        TOKEN_REVOKED, TEAM_DISABLED.
        """
        token = self.read(text)
        if token is None:
            raise credential_invalid()
        # An edge that does not say where it is gets nobody in: the audience would go unchecked.
        if not resource or canonical(resource) != token.resource:
            raise unauthenticated("TOKEN_AUDIENCE_REFUSED", "The token is for another resource.")
        if token.expires_at <= self.clock().timestamp():
            raise token_expired()
        return await self.holder(token)

    def read(self, text: str) -> AccessToken | None:
        """Give what a genuine token says, also after its end; None for any other."""
        if not text.startswith(ACCESS_PREFIX) or len(text) > MAX_CHARS:
            return None
        claims = self.token_keys.verify(text.removeprefix(ACCESS_PREFIX))
        try:
            token = None if claims is None else AccessToken.from_claims(claims)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return token if token is not None and token.issuer == self.issuer else None

    async def holder(self, token: AccessToken) -> Authenticated:
        """Say whom a genuine token names now. Raises UNAUTHENTICATED TOKEN_REVOKED, TEAM_DISABLED."""
        if await self.grants.is_token_revoked(token.team_id, token.id):
            raise token_revoked()
        caller = await (self._of_grant if token.root("grant") else self._of_key)(token)
        named = replace(
            caller,
            principal=token.principal,
            key_id=token.id,
            credential_kind="access_token",
            scopes=caller.scopes & token.scopes,
            roots=frozenset(token.roots),
        )
        return Authenticated(named, float(token.expires_at))

    async def _of_key(self, token: AccessToken) -> Caller:
        holder = await self.keys.by_id(token.team_id, token.root("key"))
        if holder is None:
            raise token_revoked()
        return holder.caller

    async def _of_grant(self, token: AccessToken) -> Caller:
        grant = await self.grants.find(token.team_id, token.root("grant"), self.clock())
        if grant is None:
            raise token_revoked()
        # The person who agreed is a whole admin; the scopes that they ticked are the only limit.
        team = await self.backing(grant)
        await self._note_use(grant)
        return Caller(
            team_id=team.id,
            team_name=team.name,
            principal=grant.principal,
            key_id="",
            credential_kind="access_token",
            scopes=grant.scopes,
            limits=team.limits,
        )

    async def _note_use(self, grant: Grant) -> None:
        now = self.clock()
        if not grant.needs_use_noted(now):
            return
        try:
            await self.grants.note_use(grant, now)
        except AppError as error:
            # Who can prove who they are is not turned away because we could not take a note.
            get_logger().warning("grant_use_not_noted", grant_id=grant.id, reason=error.reason)
