"""Master keys that never leave Vault or OpenBao: the versions of one key of its transit engine.

A version is a master key to us, named `{key}.v{version}`; the newest is the preferred. Rotating the key there
makes a new one, and raising its `min_decryption_version` ends the old ones. Data keys are wrapped and
unwrapped in batches: what is asked for in one turn of the event loop goes in one request, so that many values
cost one round trip. No data key is kept. API: https://openbao.org/api-docs/secret/transit.
"""

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.common.sealing import SealError, UnfitMasterKeysError
from services.common.telemetry import get_logger
from services.common.vault_api import VaultApi, key_service_down

MAX_BATCH: Final = 250
_AEAD: Final = frozenset({"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"})
"""Types of keys that take associated data."""
_NOT_OURS: Final = ("message authentication failed", "invalid ciphertext", "disallowed by policy")
"""What the engine says of a ciphertext that it will never open, with status 400 or, of some versions, 500."""
_WRAPPED: Final = re.compile(r"[A-Za-z0-9+/]{1,1024}={0,2}")
_MAX_KEY_ID: Final = 64
_MAX_VERSIONS: Final = 10_000
"""More than anybody rotates; an answer that says so is no answer."""


class TransitKeys:
    """The versions of one transit key. A source of `master_key_ring.KeyRing`."""

    def __init__(self, api: VaultApi, name: str, mount: str = "transit") -> None:
        self._name = name
        self._read_path = f"{mount}/keys/{name}"
        self._version_of = re.compile(re.escape(name) + r"\.v([1-9]\d{0,8})")
        self._api = api
        self._encrypt = _Batches(api, f"{mount}/encrypt/{name}", "ciphertext")
        self._decrypt = _Batches(api, f"{mount}/decrypt/{name}", "plaintext")
        self._key_ids: tuple[str, ...] = ()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The versions that seal and open, as of the last `refresh`, the newest first."""
        return self._key_ids

    async def refresh(self) -> None:
        """Look which versions there are. Raises UnfitMasterKeysError, AppError KEY_SERVICE_DOWN."""
        answer = await self._api.call("GET", self._read_path)
        if answer.is_missing:
            raise UnfitMasterKeysError(f"the key service has no transit key {self._name}")
        if not answer.is_good:
            raise key_service_down()
        found = answer.data
        if str(found.get("type")) not in _AEAD or found.get("derived") is not False:
            raise UnfitMasterKeysError(
                f"the transit key {self._name} must be of an AEAD type, such as aes256-gcm96, and not derived"
            )
        newest, oldest = found.get("latest_version"), found.get("min_decryption_version")
        if not isinstance(newest, int) or not isinstance(oldest, int):
            raise key_service_down()
        oldest = max(oldest, 1)
        if not 0 <= newest - oldest < _MAX_VERSIONS:
            raise key_service_down()
        versions = range(newest, oldest - 1, -1)
        self._key_ids = tuple(f"{self._name}.v{version}" for version in versions)

    def holds(self, key_id: str) -> bool:
        """Whether this is a version of our key, also one that we have not heard of yet."""
        return len(key_id) <= _MAX_KEY_ID and self._version_of.fullmatch(key_id) is not None

    def binds_rows(self, key_id: str) -> bool:
        """Say yes: no release that bound no rows could use a key service."""
        del key_id
        return True

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key; gives the engine's text, `vault:v{version}:{base64}`."""
        version = self._version(key_id)
        item = {"plaintext": _text(data_key), "associated_data": _text(context), "key_version": version}
        wrapped = await self._encrypt.ask(item)
        form, _, encoded = wrapped.rpartition(":")
        if form != f"vault:v{version}" or not _WRAPPED.fullmatch(encoded):
            # Better not sealed than sealed in what nobody opens.
            get_logger().warning("key_service_refused", path="encrypt", problem="not of this version")
            raise key_service_down()
        return wrapped.encode("ascii")

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises SealError, AppError KEY_SERVICE_DOWN."""
        text = wrapped.decode("ascii", "replace")
        if not text.startswith(f"vault:v{self._version(key_id)}:"):
            raise SealError("wrapped by another version than the value says")
        opened = await self._decrypt.ask({"ciphertext": text, "associated_data": _text(context)})
        try:
            return base64.b64decode(opened, validate=True)
        except ValueError:
            raise key_service_down() from None

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Raise SealError: a service has sealed nothing directly."""
        del key_id, nonce, ciphertext, associated
        raise SealError("a key service has sealed nothing directly")

    def _version(self, key_id: str) -> int:
        found = self._version_of.fullmatch(key_id)
        if found is None:
            raise SealError("no version of the transit key")
        return int(found[1])


@dataclass(slots=True)
class _Batches:
    """Gathers what is asked for in one turn of the event loop, and asks for all of it at once.

    `result` is the field of each answer that counts.
    """

    api: VaultApi
    path: str
    result: str
    waiting: list[tuple[Mapping[str, Any], asyncio.Future[str]]] = field(default_factory=list)
    asking: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, item: Mapping[str, Any]) -> str:
        """Ask for one. Raises SealError, AppError KEY_SERVICE_DOWN."""
        loop = asyncio.get_running_loop()
        if not self.waiting:
            loop.call_soon(self._go)
        answered: asyncio.Future[str] = loop.create_future()
        self.waiting.append((item, answered))
        return await answered

    def _go(self) -> None:
        waiting, self.waiting = self.waiting, []
        for start in range(0, len(waiting), MAX_BATCH):
            task = asyncio.create_task(self._ask(waiting[start : start + MAX_BATCH]))
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)

    async def _ask(self, batch: Sequence[tuple[Mapping[str, Any], asyncio.Future[str]]]) -> None:
        try:
            results = [self._of(result) for result in await self._results([item for item, _ in batch])]
        except Exception as error:  # noqa: BLE001  whoever asked hears of it
            results = [error] * len(batch)
        for (_, answered), result in zip(batch, results, strict=True):
            if answered.done():
                continue  # whoever asked has given up
            if isinstance(result, Exception):
                answered.set_exception(result)
            else:
                answered.set_result(result)

    async def _results(self, items: Sequence[Mapping[str, Any]]) -> list[object]:
        answer = await self.api.call("POST", self.path, {"batch_input": items})
        results = answer.data.get("batch_results")
        if not isinstance(results, list) or len(results) != len(items):
            get_logger().warning("key_service_refused", path=self.path, status=answer.status)
            raise key_service_down()
        return results

    def _of(self, result: object) -> str | Exception:
        found = result if isinstance(result, dict) else {}
        value, error = found.get(self.result), found.get("error")
        if isinstance(value, str) and value.isascii() and value and not error:
            return value
        if isinstance(error, str) and any(words in error for words in _NOT_OURS):
            return SealError("the key service does not open this")
        get_logger().warning("key_service_refused", path=self.path, problem="one of a batch")
        return key_service_down()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
