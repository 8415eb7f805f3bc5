"""Finds out whether text is a JWT of an issuer that the operator trusts, and whom it names."""

from dataclasses import dataclass

from services.auth.domain.api_key import key_root
from services.auth.domain.foreign_rights import ForeignRight
from services.auth.domain.passport import Authenticated
from services.auth.domain.refusals import credential_invalid
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.domain.token import SignedToken, TokenRules, accept_claims, parse_token
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.auth.ports import Clock, IssuerKeys, Teams, VerificationKey
from services.common.identity import Caller, team_root


@dataclass(frozen=True, slots=True)
class CheckToken:
    """Verify a JWT: form, type, key, signature, then what it claims. Tokens act for the default team."""

    issuer_keys: IssuerKeys
    rules: TokenRules
    teams: Teams
    refuse_revoked: RefuseRevoked
    clock: Clock

    async def __call__(self, text: str) -> Authenticated:
        """Say whom the token names.

        Raises AppError UNAUTHENTICATED CREDENTIAL_INVALID, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID,
        TOKEN_REVOKED, TOKEN_TYPE_REFUSED, TEAM_DISABLED; UNAVAILABLE ISSUER_DOWN.
        """
        token = parse_token(text)
        key = await self._signer(token)
        subject = accept_claims(token.payload, self.rules, self.clock().timestamp())
        team = await self.teams.get(DEFAULT_TEAM_ID)
        team.check()
        right = ForeignRight.of(text, subject.principal, subject.issued_at)
        await self.refuse_revoked(team.id, right)
        caller = Caller(
            team_id=team.id,
            team_name=team.name,
            principal=subject.principal,
            key_id=key.id,
            credential_kind="jwt",
            scopes=subject.scopes,
            roots=frozenset({team_root(team.id), key_root(key.id), *right.roots_in(team.id)}),
            limits=team.limits,
        )
        return Authenticated(caller, subject.expires_at)

    async def _signer(self, token: SignedToken) -> VerificationKey:
        for key in await self.issuer_keys.candidates(token.algorithm, token.key_id):
            if key.verifies(token.signed, token.signature):
                return key
        raise credential_invalid()
