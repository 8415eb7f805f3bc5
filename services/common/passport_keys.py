"""Auth's public keys as another backend keeps them: a copy that is never older than a moment.

A key that auth dropped, because it was stolen, must stop counting at once. So they are fetched twice a
second, which costs both sides some 2 ms of CPU together; when auth cannot be had, the copy stays as it is.
"""

import asyncio
import json
import time
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.telemetry import get_logger

REFRESH_EVERY_S: Final = 0.5


class PassportKeys:
    """Gives `PassportVerifier` its keys. A forged key id cannot make us ask auth more often than we do."""

    def __init__(self, channel: Channel) -> None:
        self._auth = auth_pb2_grpc.AuthServiceStub(channel)
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def are_loaded(self) -> bool:
        """Whether passports can be checked at all."""
        return bool(self._keys)

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Give the key of this id, asking auth when it is new to us. Raises UNAVAILABLE AUTH_DOWN."""
        if key_id not in self._keys:
            await self._refresh()
        return self._keys.get(key_id)

    async def keep_fresh(self) -> None:
        """Fetch the keys again and again, whatever happens to auth meanwhile, until cancelled."""
        has_failed = False
        while True:
            try:
                await self._refresh()
                has_failed = False
            except AppError as error:
                if not has_failed:
                    get_logger().warning("passport_keys_not_fetched", reason=error.reason)
                has_failed = True
            except Exception:  # noqa: BLE001  an odd answer must not end this
                get_logger().exception("unexpected", action="passport_keys")
            await asyncio.sleep(REFRESH_EVERY_S)

    async def _refresh(self) -> None:
        since = time.monotonic()
        async with self._asking:
            # Whoever asks for a key that is new to us waits its turn; a forged id gains nothing.
            await asyncio.sleep(self._asked_at + REFRESH_EVERY_S / 2 - time.monotonic())
            if self._asked_at > since:
                return
            response = await self._auth.ListPassportKeys(auth_pb2.ListPassportKeysRequest())
            self._asked_at = time.monotonic()
            self._keys = _read(response.jwks_json)


def _read(jwks_json: str) -> dict[str, Ed25519PublicKey]:
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks_json)).keys
    return {str(key.key_id): key.key for key in keys if isinstance(key.key, Ed25519PublicKey)}
