"""Revokes one token by its text or id, or all that another issuer gave to one principal until now.

An issuer of its own keeps its tokens; this is for the minute until it is asked again, for tokens that are
never asked about (JWTs), and for issuers that revoke nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from services.auth.domain.api_key import has_key_form
from services.auth.domain.foreign_rights import (
    KEEP_DAYS,
    MAX_KEEP_DAYS,
    principal_root,
    remembered_until,
    token_root,
)
from services.auth.domain.token import MAX_CREDENTIAL_CHARS
from services.auth.oauth.domain.grants import ACCESS_PREFIX, REFRESH_PREFIX, hash_of
from services.auth.oauth.domain.tokens import MAX_LIFE_S, AccessToken
from services.auth.oauth.ports import Grants
from services.auth.operations.govern_grants import may_govern
from services.auth.ports import Clock, RevokedRights, Teams
from services.common.audit import AuditEvent, audit_event
from services.common.errors import AppError, invalid, not_found
from services.common.identity import Caller

_OWN_ID: Final = re.compile(r"[0-9a-f]{32}")
_FOREIGN_ID: Final = re.compile(r"[0-9a-f]{64}")
_MAX_PRINCIPAL_CHARS: Final = 1_024

ReadToken = Callable[[str], AccessToken | None]
"""Gives what a genuine access token of ours says; None for any other text."""


@dataclass(frozen=True, slots=True)
class Named:
    """What is to be revoked, as it was named. `keep_days` of 0 is the default."""

    by: Literal["token", "token_id", "principal"]
    text: str = field(repr=False)
    keep_days: int = 0


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """What was revoked, and until when that is remembered; None for a grant, which ends for good."""

    resource: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """Safe to repeat. `foreign_teams` are those that tokens of other issuers can act for.

    `read_own` is there when we are an authorization server.
    """

    teams: Teams
    rights: RevokedRights
    grants: Grants
    read_own: ReadToken | None
    foreign_teams: frozenset[str]
    clock: Clock

    async def __call__(self, team_id: str | None, named: Named, caller: Caller | None = None) -> RevokedToken:
        """Revoke what acts for one team; for an operator who names none (None), for whichever it acts for.

        Raises AppError NOT_FOUND TEAM_NOT_FOUND, TOKEN_NOT_FOUND; INVALID_ARGUMENT TOKEN_UNNAMED,
        TOKEN_ID_INVALID, TEAM_ID_INVALID, PRINCIPAL_INVALID, KEEP_DAYS_OUT_OF_RANGE.
        """
        keep = _keep(named)
        if not 1 <= len(named.text) <= MAX_CREDENTIAL_CHARS:
            raise invalid("TOKEN_UNNAMED", "Name a token, the id of one, or a principal.", field="token")
        if team_id is not None:
            await self.teams.get(team_id)
        if not may_govern(caller):
            raise token_not_found()
        match named.by:
            case "token":
                return await self._by_text(team_id, named.text, keep)
            case "token_id":
                return await self._by_id(team_id, named.text.removeprefix("token:"), keep)
            case "principal":
                return await self._principal(team_id, named.text, keep)

    async def _by_text(self, team_id: str | None, text: str, keep: timedelta) -> RevokedToken:
        if text.startswith(ACCESS_PREFIX):
            token = None if self.read_own is None else self.read_own(text)
            if token is None or team_id not in {None, token.team_id}:
                raise token_not_found()
            ends = datetime.fromtimestamp(token.expires_at, UTC)
            return await self._own(token.team_id, token.id, ends)
        if text.startswith(REFRESH_PREFIX):
            return await self._grant_of(team_id, text)
        if has_key_form(text):
            raise token_not_found()
        return await self._foreign(team_id, token_root(text), remembered_until(text, self.clock(), keep))

    async def _by_id(self, team_id: str | None, token_id: str, keep: timedelta) -> RevokedToken:
        if _FOREIGN_ID.fullmatch(token_id):
            return await self._foreign(team_id, f"token:{token_id}", self.clock() + keep)
        if not _OWN_ID.fullmatch(token_id):
            raise invalid("TOKEN_ID_INVALID", "A token's id is 32 or 64 hex digits.", field="token_id")
        if team_id is None:
            raise invalid("TEAM_ID_INVALID", "Name the team that this token acts for.", field="team_id")
        return await self._own(team_id, token_id, self.clock() + timedelta(seconds=MAX_LIFE_S))

    async def _principal(self, team_id: str | None, principal: str, keep: timedelta) -> RevokedToken:
        # Whoever has a key or signed in here is not named by another issuer, and is revoked by key or grant.
        if "#" not in principal or len(principal) > _MAX_PRINCIPAL_CHARS or not principal.isprintable():
            raise invalid(
                "PRINCIPAL_INVALID", "A principal of another issuer is <issuer>#<subject>.", field="principal"
            )
        return await self._foreign(team_id, principal_root(principal), self.clock() + keep)

    async def _own(self, team_id: str, token_id: str, ends: datetime) -> RevokedToken:
        resource = f"token:{token_id}"
        await self.grants.revoke_token(team_id, token_id, ends, _event(team_id, resource, ends))
        return RevokedToken(resource, ends)

    async def _grant_of(self, team_id: str | None, text: str) -> RevokedToken:
        grant = await self.grants.find_by_refresh(hash_of(text), self.clock(), also_used=True)
        if grant is None or team_id not in {None, grant.team_id}:
            raise token_not_found()
        event = audit_event("grant.revoked", team_id=grant.team_id, resource=grant.root)
        await self.grants.revoke(grant.team_id, grant.id, self.clock(), event)
        return RevokedToken(grant.root, None)

    async def _foreign(self, team_id: str | None, subject: str, until: datetime) -> RevokedToken:
        teams = self.foreign_teams if team_id is None else self.foreign_teams & {team_id}
        if not teams:
            raise token_not_found()
        for each in sorted(teams):
            await self.rights.revoke(each, subject, self.clock(), until, _event(each, subject, until))
        return RevokedToken(subject, until)


def _keep(named: Named) -> timedelta:
    days = named.keep_days or KEEP_DAYS
    if not 1 <= days <= MAX_KEEP_DAYS:
        message = f"keep_days must be 1 to {MAX_KEEP_DAYS}."
        raise invalid("KEEP_DAYS_OUT_OF_RANGE", message, field="keep_days")
    return timedelta(days=days)


def _event(team_id: str, resource: str, until: datetime) -> AuditEvent:
    stated = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return audit_event("token.revoked", team_id=team_id, resource=resource, expires_at=stated)


def token_not_found() -> AppError:
    """Make the NOT_FOUND of a token that is none, or acts for another team: deliberately not told apart."""
    return not_found("TOKEN_NOT_FOUND", "There is no such token.")
