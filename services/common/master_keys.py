"""Master keys in a file: `key_id:base64(32 bytes):v3` lines, the preferred key first, read again on change.

A line without `:v3` is a key from before values were bound to their row (`sealing.py`). A release from then
refuses a marked line, so it never writes under such a key what a later release would not read.
"""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.errors import unavailable
from services.common.sealing import KEY_BYTES, NONCE_BYTES, KeyMissingError, decrypt
from services.common.watched_files import WatchedFiles

_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BINDS_ROWS: Final = ":v3"


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """Some master keys, the preferred one first. Implements `sealing.KeyWrapper`.

    `from_before` are the ids of those under which values are bound to no row.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    from_before: frozenset[str] = frozenset()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Their ids, in order."""
        return tuple(self.keys)

    @property
    def current_key_id(self) -> str:
        """The preferred one."""
        return self.key_ids[0]

    def binds_rows(self, key_id: str) -> bool:
        """Whether the file has the key and marks it so."""
        return key_id in self.keys and key_id not in self.from_before

    def without(self, key_id: str) -> "MasterKeys":
        """Give all others, in their order."""
        left = {name: key for name, key in self.keys.items() if name != key_id}
        return MasterKeys(left, self.from_before - {key_id})

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key: nonce(12) ‖ ciphertext ‖ tag(16). Raises KeyMissingError."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._key(key_id)).encrypt(nonce, data_key, context)

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises SealError."""
        return decrypt(self._key(key_id), wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Decrypt what v1 sealed. Raises SealError."""
        return decrypt(self._key(key_id), nonce, ciphertext, associated)

    def _key(self, key_id: str) -> bytes:
        key = self.keys.get(key_id)
        if key is None:
            raise KeyMissingError(key_id)
        return key


class OneAgreed:
    """Keys of which one seals: with several replicas it must be one that all of them hold."""

    _agreed = ""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that can be used now, the preferred first."""
        raise NotImplementedError

    @property
    def current_key_id(self) -> str:
        """The key that seals: the agreed one. Raises AppError MASTER_KEY_UNSETTLED."""
        if self._agreed not in self.key_ids:
            raise unavailable("MASTER_KEY_UNSETTLED", "It is not settled which master key seals.")
        return self._agreed

    def seal_under(self, key_id: str) -> None:
        """Seal under this key from now on."""
        self._agreed = key_id


class FileMasterKeys(OneAgreed):
    """The keys of a file as it is now. Implements `sealing.AgreedKeys`."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises ValueError or OSError; neither quotes it."""
        self._watched = WatchedFiles("master_keys", [file], lambda: read_master_keys(file))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids in the file, the preferred first."""
        return self._watched.current().key_ids

    async def refresh(self) -> None:
        """Do nothing: each use looks at the file."""

    def holds(self, key_id: str) -> bool:
        """Whether the file has this key; one that we do not know may have been written this moment."""
        return key_id in self._holding(key_id).keys

    def binds_rows(self, key_id: str) -> bool:
        """Whether the file marks the key so."""
        return self._holding(key_id).binds_rows(key_id)

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key. Raises KeyMissingError."""
        return await self._holding(key_id).wrap(key_id, data_key, context)

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises SealError."""
        return await self._holding(key_id).unwrap(key_id, wrapped, context)

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Decrypt what v1 sealed. Raises SealError."""
        return await self._holding(key_id).open_direct(key_id, nonce, ciphertext, associated)

    def _holding(self, key_id: str) -> MasterKeys:
        # A key that we do not know may have been written this moment.
        found = self._watched.current()
        return found if key_id in found.keys else self._watched.refresh()


def read_master_keys(path: Path) -> MasterKeys:
    """Read a key file. Raises ValueError when it has no usable line; the message holds no key material."""
    keys: dict[str, bytes] = {}
    from_before: set[str] = set()
    for number, line in enumerate(path.read_text(errors="replace").split(), start=1):
        named = line.removesuffix(_BINDS_ROWS)
        key_id, _, encoded = named.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
            raise ValueError(f"{path}: line {number} must be key_id:base64 of {KEY_BYTES} bytes, then :v3")
        if key_id in keys:
            raise ValueError(f"{path}: line {number} repeats the key id of an earlier one")
        keys[key_id] = key
        if named == line:
            from_before.add(key_id)
    if not keys:
        raise ValueError(f"{path}: no master key")
    return MasterKeys(keys, frozenset(from_before))


def new_master_key_line(key_id: str) -> str:
    """Make one fresh line for a master key file."""
    return _line(key_id, secrets.token_bytes(KEY_BYTES), binds_rows=True)


def write_master_keys_text(keys: MasterKeys) -> str:
    """Write keys as the text of a key file, in their order."""
    lines = (_line(key_id, key, binds_rows=keys.binds_rows(key_id)) for key_id, key in keys.keys.items())
    return "".join(f"{line}\n" for line in lines)


def _line(key_id: str, key: bytes, *, binds_rows: bool) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}{_BINDS_ROWS if binds_rows else ''}"
