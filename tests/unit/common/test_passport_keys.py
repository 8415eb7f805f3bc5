"""The core's copy of auth's public keys: fresh, bounded in what it asks, and steady when auth is away."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protos.auth.v1 import auth_pb2
from services.common.errors import unavailable
from services.common.passport_keys import REFRESH_EVERY_S, PassportKeys


class AuthOfKeys:
    """A channel to an auth that publishes what a test wants."""

    def __init__(self, **keys: Ed25519PublicKey) -> None:
        self.keys = dict(keys)
        self.asked = 0
        self.is_down = False

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[[Any], Awaitable[Any]]:
        del path
        return self._list

    unary_stream = unary_unary

    async def _list(self, _: object) -> auth_pb2.ListPassportKeysResponse:
        self.asked += 1
        if self.is_down:
            raise unavailable("AUTH_DOWN", "down")
        algorithm = jwt.get_algorithm_by_name("EdDSA")
        jwks = [{**json.loads(algorithm.to_jwk(key)), "kid": kid} for kid, key in self.keys.items()]
        return auth_pb2.ListPassportKeysResponse(jwks_json=json.dumps({"keys": jwks}))


OLD, NEW = (Ed25519PrivateKey.generate().public_key() for _ in range(2))


@contextlib.asynccontextmanager
async def fresh(keys: PassportKeys) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.keep_fresh())
    try:
        async with asyncio.timeout(5):
            while not keys.are_loaded:
                await asyncio.sleep(0.01)
            yield
    finally:
        task.cancel()


async def until_gone(keys: PassportKeys, auth: AuthOfKeys, key_id: str) -> int:
    """Wait until a key does not count; gives how often auth was asked meanwhile."""
    before = auth.asked
    async with asyncio.timeout(2 * REFRESH_EVERY_S):
        while await keys.find(key_id) is not None:
            await asyncio.sleep(0.01)
    return auth.asked - before


@pytest.mark.promise("rights.stolen")
async def test_a_key_that_auth_dropped_stops_counting_though_nobody_asks_for_it() -> None:
    """Within one round, two at most."""
    auth = AuthOfKeys(old=OLD, new=NEW)
    keys = PassportKeys(auth)  # type: ignore[arg-type]
    async with fresh(keys):
        assert await keys.find("old") is not None
        del auth.keys["old"]
        assert await until_gone(keys, auth, "old") <= 3
        assert await keys.find("new") is not None


async def test_a_new_key_is_found_at_once_and_forged_ids_cost_little() -> None:
    """A hundred at a time ask auth four times a second at most."""
    auth = AuthOfKeys(old=OLD)
    keys = PassportKeys(auth)  # type: ignore[arg-type]
    assert await keys.find("old") is not None
    auth.keys["new"] = NEW
    async with asyncio.timeout(2):
        found = await asyncio.gather(*(keys.find("new" if n % 2 else f"forged-{n}") for n in range(100)))
    assert [key is not None for key in found] == [bool(n % 2) for n in range(100)]
    assert auth.asked <= 3


async def test_an_auth_that_is_away_takes_no_key_with_it() -> None:
    """What was known counts on; an unknown key is a matter of auth being down, not of a bad passport."""
    auth = AuthOfKeys(old=OLD)
    keys = PassportKeys(auth)  # type: ignore[arg-type]
    async with fresh(keys):
        auth.is_down = True
        asked = auth.asked
        async with asyncio.timeout(4 * REFRESH_EVERY_S):
            while auth.asked < asked + 2:
                await asyncio.sleep(0.01)
        assert await keys.find("old") is not None
        with pytest.raises(Exception, match="down"):
            await keys.find("new")
        auth.is_down = False
        auth.keys = {"new": NEW}
        await until_gone(keys, auth, "old")
        assert await keys.find("new") is not None
