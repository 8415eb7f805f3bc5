"""Finds out from another issuer whether a token of its counts, and whom it names (RFC 7662)."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.auth.domain.api_key import hash_of
from services.auth.domain.foreign_rights import ForeignRight
from services.auth.domain.introspected import IntrospectionRules, UnreadableAnswerError, accept_answer
from services.auth.domain.passport import Authenticated
from services.auth.domain.refusals import credential_invalid, issuer_down, kind_refused
from services.auth.domain.token import parse_token
from services.auth.oauth.domain.grants import CLIENT_SECRET_PREFIX, CODE_PREFIX, REFRESH_PREFIX
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.auth.ports import Clock, IssuerKeys, OperatorKeys, Teams
from services.common.errors import AppError
from services.common.identity import Caller, team_root
from services.common.telemetry import get_logger

_OURS: Final = (CLIENT_SECRET_PREFIX, CODE_PREFIX, REFRESH_PREFIX)
_SHARED_SECRET_ALGORITHM: Final = "HS256"  # noqa: S105


class Introspection(Protocol):
    """Asks an issuer about a token."""

    async def __call__(self, token: str) -> dict[str, Any]:
        """Give the issuer's answer. Raises AppError UNAVAILABLE ISSUER_DOWN."""
        ...


@dataclass(frozen=True, slots=True)
class CheckForeignToken:
    """Ask the issuer, every time: nothing is remembered but the passport, which lasts a minute.

    Its tokens act for one team, which the operator chose. What is a credential of our own is never shown to
    the issuer: it would be one that works at our other edges. `own_secrets` are those of AUTH_JWT_SECRET.
    """

    introspect: Introspection
    rules: IntrospectionRules
    team_id: str
    teams: Teams
    refuse_revoked: RefuseRevoked
    environment: OperatorKeys
    own_secrets: IssuerKeys | None
    clock: Clock

    async def __call__(self, text: str) -> Authenticated:
        """Say whom a token names.

        Raises AppError UNAUTHENTICATED CREDENTIAL_INVALID, CREDENTIAL_KIND_REFUSED, TOKEN_AUDIENCE_REFUSED,
        TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_REVOKED, TOKEN_TYPE_REFUSED, TEAM_DISABLED;
        UNAVAILABLE ISSUER_DOWN.
        """
        await self._keep_ours_here(text)
        answer = await self.introspect(text)
        try:
            found = accept_answer(answer, self.rules, self.clock().timestamp())
        except UnreadableAnswerError as error:
            get_logger().warning("introspection_unreadable", member=str(error))
            raise issuer_down() from None
        team = await self.teams.get(self.team_id)
        team.check()
        right = ForeignRight.of(text, found.principal, found.issued_at)
        await self.refuse_revoked(team.id, right)
        caller = Caller(
            team_id=team.id,
            team_name=team.name,
            principal=found.principal,
            key_id=right.token_root.removeprefix("token:")[:16],
            credential_kind="access_token",
            scopes=found.scopes,
            roots=frozenset({team_root(team.id), *right.roots_in(team.id)}),
            limits=team.limits,
        )
        return Authenticated(caller, found.expires_at)

    async def _keep_ours_here(self, text: str) -> None:
        if self.environment.find(hash_of(text)) is not None or text.startswith(_OURS):
            raise credential_invalid()
        if await self._is_signed_by_us(text):
            raise kind_refused("OAuth access tokens")

    async def _is_signed_by_us(self, text: str) -> bool:
        try:
            token = parse_token(text)
        except AppError as error:
            if error.reason == "TOKEN_TYPE_REFUSED":  # a passport, for one
                raise
            return False  # opaque, as tokens of an issuer may well be
        if self.own_secrets is None or token.algorithm != _SHARED_SECRET_ALGORITHM:
            return False
        keys = await self.own_secrets.candidates(token.algorithm, token.key_id)
        return any(key.verifies(token.signed, token.signature) for key in keys)
