"""Exchanges a credential for a passport."""

import secrets
from dataclasses import dataclass, field
from typing import Literal

from services.auth.domain.api_key import has_key_form
from services.auth.domain.modes import AuthMode, McpAuthMode, Modes
from services.auth.domain.passport import Authenticated, Statement, check_audience
from services.auth.domain.refusals import credential_invalid, credential_missing, kind_refused
from services.auth.domain.token import MAX_CREDENTIAL_CHARS, parse_token
from services.auth.operations.access_tokens import ACCESS_TOKEN_PREFIX, AccessTokens
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.operations.check_foreign_token import CheckForeignToken
from services.auth.operations.check_token import CheckToken
from services.auth.ports import Clock, PassportKeys

_Mode = AuthMode | McpAuthMode


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential as a client sent it: `X-API-Key`, or the value of `Authorization: Bearer`.

    `resource` is the canonical URI of what it was sent to; empty when the edge does not say.
    """

    kind: Literal["api_key", "bearer"]
    secret: str = field(repr=False)
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Passport:
    """A signed statement and what it says."""

    token: str = field(repr=False)
    statement: Statement


@dataclass(frozen=True, slots=True)
class IssuePassport:
    """Check a credential by the mode of the edge that presents it. `check_token`: if a mode needs it.

    `check_access_token` is there when we are an authorization server; its tokens count in every mode.
    `check_foreign_token` is there when the mode `oauth` has an issuer of its own.
    """

    modes: Modes
    check_api_key: CheckApiKey
    check_token: CheckToken | None
    passport_keys: PassportKeys
    clock: Clock
    check_access_token: AccessTokens | None = None
    check_foreign_token: CheckForeignToken | None = None

    async def __call__(self, presented: Presented, audience: str, peer: str) -> Passport:
        """Answer with a passport for one backend. Raises AppError with the reasons of the contract."""
        check_audience(audience)
        if not presented.secret:
            raise credential_missing()
        if len(presented.secret) > MAX_CREDENTIAL_CHARS:
            raise credential_invalid()
        # Read before the credential is looked up: a revocation in between is younger than this passport.
        now_s = self.clock().timestamp()
        mode = self.modes.for_peer(peer)
        who = await self._who(presented, mode)
        statement = Statement.about(who, audience, now_s, secrets.token_hex(16))
        return Passport(self.passport_keys.sign(statement.to_claims()), statement)

    async def _who(self, presented: Presented, mode: _Mode) -> Authenticated:
        if presented.kind == "api_key":
            return await self._key(presented.secret, mode)
        # Told apart by form: one of our own tokens is never tried as another kind, nor another as it.
        if presented.secret.startswith(ACCESS_TOKEN_PREFIX) and self.check_access_token is not None:
            return await self.check_access_token(presented.secret, presented.resource)
        if mode is McpAuthMode.OAUTH:
            return await self._foreign_token(presented.secret)
        return await self._bearer(presented.secret, mode)

    async def _key(self, secret: str, mode: _Mode) -> Authenticated:
        if not mode.takes_keys:
            raise kind_refused(_taken(mode))
        who = await self.check_api_key(secret)
        if who is None:
            raise credential_invalid()
        return who

    async def _foreign_token(self, secret: str) -> Authenticated:
        if has_key_form(secret):
            raise kind_refused(_taken(McpAuthMode.OAUTH))
        if self.check_foreign_token is not None:
            return await self.check_foreign_token(secret)
        parse_token(secret)
        raise kind_refused(_taken(McpAuthMode.OAUTH))

    async def _bearer(self, secret: str, mode: _Mode) -> Authenticated:
        who = await self.check_api_key(secret) if mode.takes_keys else None
        if who is not None:
            return who
        if mode.takes_tokens and self.check_token is not None:
            return await self._token(secret, self.check_token, mode)
        parse_token(secret)
        raise kind_refused("API keys")

    async def _token(self, secret: str, check_token: CheckToken, mode: _Mode) -> Authenticated:
        if has_key_form(secret) and not mode.takes_keys:
            raise kind_refused(_taken(mode))
        return await check_token(secret)


def _taken(mode: _Mode) -> str:
    return "OAuth access tokens" if mode is McpAuthMode.OAUTH else "bearer tokens"
