"""Finds out whether text is an API key that counts, and whose."""

from dataclasses import dataclass
from hmac import compare_digest

from services.auth.domain.api_key import ApiKey, has_key_form, hash_of, key_root
from services.auth.domain.passport import Authenticated
from services.auth.domain.scopes import MAIL_SCOPES
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.ports import Clock, Keys, OperatorKeys, Teams
from services.common.errors import AppError
from services.common.identity import Caller, team_root
from services.common.telemetry import get_logger

_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class CheckApiKey:
    """Try a credential as an API key: the keys of the environment, then those of the database."""

    environment: OperatorKeys
    keys: Keys
    teams: Teams
    clock: Clock

    async def __call__(self, secret: str) -> Authenticated | None:
        """Say whom the key names; None when it is no key of ours.

        Raises AppError UNAUTHENTICATED KEY_EXPIRED, KEY_REVOKED, TEAM_DISABLED.
        """
        key_hash = hash_of(secret)
        environment_id = self.environment.find(key_hash)
        if environment_id is not None:
            return await self._operator(environment_id)
        # The form is public, so skipping the database for other text tells a guesser nothing.
        return await self._stored(key_hash) if has_key_form(secret) else None

    async def _operator(self, key_id: str) -> Authenticated:
        team = await self.teams.get(DEFAULT_TEAM_ID)
        team.check()
        caller = Caller(
            team_id=team.id,
            team_name=team.name,
            principal=f"key:{key_id}",
            key_id=key_id,
            credential_kind="api_key",
            scopes=MAIL_SCOPES,
            roots=frozenset({team_root(team.id), key_root(key_id)}),
            limits=team.limits,
        )
        return Authenticated(caller)

    async def _stored(self, key_hash: bytes) -> Authenticated | None:
        key = await self.keys.find(key_hash)
        # The store searched by an index, which compares byte by byte; this comparison is what counts.
        if not compare_digest(key_hash, key.key_hash if key else _NOBODY) or key is None:
            return None
        now = self.clock()
        key.check(now)
        team = await self.teams.get(key.team_id)
        team.check()
        if key.needs_use_noted(now):
            await self._note_use(key)
        return Authenticated(key.caller(team), key.expires_at.timestamp() if key.expires_at else None)

    async def _note_use(self, key: ApiKey) -> None:
        try:
            await self.keys.note_use(key, self.clock())
        except AppError as error:
            # Who can prove who they are is not turned away because we could not take a note.
            get_logger().warning("key_use_not_noted", key_id=key.id, reason=error.reason)
