"""Auth's public keys as another backend keeps them: fetched at start, again when an unknown key appears."""

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

_REFRESH_AT_MOST_EVERY_S: Final = 2.0
_RETRY_S: Final = 1.0


class PassportKeys:
    """Gives `PassportVerifier` its keys. A forged key id cannot make us ask auth more than now and then."""

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

    async def load(self) -> None:
        """Fetch the keys, trying until auth answers."""
        while not self.are_loaded:
            try:
                await self._refresh()
            except AppError as error:
                get_logger().warning("passport_keys_missing", reason=error.reason)
                await asyncio.sleep(_RETRY_S)

    async def _refresh(self) -> None:
        async with self._asking:
            if time.monotonic() - self._asked_at < _REFRESH_AT_MOST_EVERY_S and self._keys:
                return
            response = await self._auth.ListPassportKeys(auth_pb2.ListPassportKeysRequest())
            self._asked_at = time.monotonic()
            self._keys = _read(response.jwks_json)


def _read(jwks_json: str) -> dict[str, Ed25519PublicKey]:
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks_json)).keys
    return {str(key.key_id): key.key for key in keys if isinstance(key.key, Ed25519PublicKey)}
