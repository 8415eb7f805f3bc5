"""The operator's own API keys and JWT secrets, read again when their files change.

What is taken out of a file is revoked, so that passports which rest on it end at once, not with their life.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.auth.adapters.verification_keys import BoundKey
from services.auth.domain.api_key import EnvironmentKeys
from services.auth.settings import AuthSettings
from services.common.errors import AppError
from services.common.telemetry import get_logger
from services.common.watched_files import WatchedFiles

ALGORITHMS: Final = frozenset({"HS256"})
LOOK_EVERY_S: Final = 0.5
Revoke = Callable[[str], Awaitable[None]]
"""Takes back everything that hangs on a credential's id."""


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What the environment and its files say now. `previous` counts until `previous_until`, unix seconds."""

    keys: EnvironmentKeys
    current: BoundKey | None
    previous: BoundKey | None
    previous_until: float


class EnvironmentSecrets:
    """Implements `ports.OperatorKeys`, and `ports.IssuerKeys` with the shared secrets (HS256)."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        """Read now; the settings have checked everything. `clock` gives unix time in seconds."""
        self._settings = settings
        self._clock = clock
        self._started_at = clock()
        self._watched = WatchedFiles("environment_secrets", list(_files(settings)), self._read)
        self._told = self.ids

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all keys and secrets that count now."""
        now = self._watched.current()
        secrets = {key.id for key in self._issuers(now)}
        return now.keys.ids | secrets

    def find(self, key_hash: bytes) -> str | None:
        """Give the id of the operator's key with this hash."""
        return self._watched.current().keys.find(key_hash)

    def __contains__(self, key_id: object) -> bool:
        """Whether this is the id of one of the operator's keys."""
        return key_id in self._watched.current().keys.ids

    async def candidates(self, algorithm: str, key_id: str | None) -> tuple[BoundKey, ...]:
        """Give the secrets for HS256, none for anything else. The token's `kid` chooses nothing."""
        del key_id
        return self._issuers(self._watched.current()) if algorithm in ALGORITHMS else ()

    async def keep_revoking(self, revoke: Revoke) -> None:
        """Revoke what no longer counts, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.revoke_removed(revoke)

    async def revoke_removed(self, revoke: Revoke) -> None:
        """Revoke what counted at the last look and does not now. What fails is tried again."""
        now = self.ids
        for gone in sorted(self._told - now):
            try:
                await revoke(gone)
            except AppError as error:
                get_logger().warning("removed_secret_not_revoked", key_id=gone, reason=error.reason)
                return
            except Exception:  # noqa: BLE001  the next look may do better
                get_logger().exception("unexpected", action="environment_secrets")
                return
            get_logger().info("removed_secret_revoked", key_id=gone)
            self._told -= {gone}
        self._told = now

    def _issuers(self, secrets: _Secrets) -> tuple[BoundKey, ...]:
        previous = secrets.previous if self._clock() < secrets.previous_until else None
        return tuple(key for key in (secrets.current, previous) if key is not None)

    def _read(self) -> _Secrets:
        problems = self._settings.secret_problems()
        if problems:
            raise ValueError("the changed secrets cannot be used")
        shared = [_bound(secret) for secret in self._settings.jwt_secrets]
        current, previous = (*shared, None, None)[:2]
        file = self._settings.auth_jwt_secret_previous_file
        since = file.stat().st_mtime if file is not None else self._started_at
        return _Secrets(
            EnvironmentKeys(self._settings.agent_api_keys),
            current,
            previous,
            since + self._settings.auth_jwt_secret_previous_max_s,
        )


def _files(settings: AuthSettings) -> Iterable[Path]:
    named = (
        settings.agent_api_key_file,
        settings.auth_jwt_secret_file,
        settings.auth_jwt_secret_previous_file,
    )
    return (file for file in named if file is not None)


def _bound(secret: str) -> BoundKey:
    """Name a secret by its hash: it keeps its name when it becomes the previous one."""
    return BoundKey(f"secret:{hashlib.sha256(secret.encode()).hexdigest()[:8]}", "HS256", secret.encode())
