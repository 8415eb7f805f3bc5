"""Tenant secrets at rest: envelope encryption, bound to the team and to the place of each value (ADR 0015).

Each value is sealed with a data key of its own (AES-256-GCM); the data key is wrapped by a named master key,
which never leaves its `KeyWrapper`. Sealed form:

    v2: 0x02 ‖ len(key id) ‖ key id ‖ len(wrapped key), 2 bytes ‖ wrapped key ‖ nonce(12) ‖ ciphertext ‖
        tag(16)
    v1: 0x01 ‖ len(key id) ‖ key id ‖ nonce(12) ‖ ciphertext ‖ tag(16), sealed with the master key itself and
        bound to the team alone; read, never written
    plain: 0x00 ‖ plaintext, what was kept in plain before its column was sealed; no sealer opens it

What cannot be opened fails closed.
"""

import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
GRANT_COLUMN: Final = "mailboxes.grant_sealed"
"""Where the grants of mailboxes are kept."""
TARGET_COLUMN: Final = "subscriptions.target_sealed"
"""Where it is kept how subscriptions are ended: links and addresses."""
SEALED_COLUMNS: Final = (GRANT_COLUMN, TARGET_COLUMN)
"""Every place of sealed values, as `table.column`; the tables have `id` and `team_id`."""
NONCE_BYTES: Final = 12
_PLAIN: Final = b"\x00"
_V1: Final = 1
_V2: Final = 2
_HEAD_BYTES: Final = 2
_LENGTH_BYTES: Final = 2


class SealError(Exception):
    """Something sealed could not be opened: wrong key, wrong team, wrong place, or changed bytes."""


class KeyMissingError(SealError):
    """The master key that is needed is not there. `key_id` says which; ids are no secrets."""

    def __init__(self, key_id: str) -> None:
        super().__init__("sealed with a master key that this process does not have")
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class Place:
    """What a sealed value belongs to: a team, and `table.column`. It opens nowhere else."""

    team_id: str
    column: str

    @property
    def context(self) -> bytes:
        """The place as associated data; a column's name holds no colon."""
        return f"{self.column}:{self.team_id}".encode()


class KeyWrapper(Protocol):
    """Master keys by id.

    A key management service is one class: AWS `Encrypt` and `Decrypt` with the context as encryption context,
    Google's with it as additional authenticated data, Vault's `transit/encrypt` with it as `associated_data`.
    """

    @property
    def current_key_id(self) -> str:
        """The master key that new values are sealed under."""
        ...

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key of 32 bytes. Raises KeyMissingError. The result is at most 65,535 bytes."""
        ...

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key that was wrapped in this context. Raises SealError."""
        ...

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Decrypt what v1 sealed with the master key itself. Raises SealError: a key service always."""
        ...


class AgreedKeys(KeyWrapper, Protocol):
    """Master keys of one replica, which agrees with the others on the one that seals."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that it can use now, the preferred first."""
        ...

    def seal_under(self, key_id: str) -> None:
        """Seal under this key from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals under the wrapper's current master key, opens what any of its keys sealed."""

    keys: KeyWrapper

    async def seal(self, plaintext: bytes, place: Place, key_id: str = "") -> bytes:
        """Encrypt for one place, under the current master key unless one is named."""
        key_id = key_id or self.keys.current_key_id
        data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        wrapped = await self.keys.wrap(key_id, data_key, place.context)
        named = key_id.encode()
        head = bytes([_V2, len(named)]) + named + len(wrapped).to_bytes(_LENGTH_BYTES) + wrapped
        return head + nonce + AESGCM(data_key).encrypt(nonce, plaintext, head + place.context)

    async def open(self, sealed: bytes, place: Place) -> bytes:
        """Decrypt what was sealed for this place. Raises SealError, KeyMissingError."""
        key_id, key_end = _key_of(sealed)
        if sealed[0] == _V1:
            nonce_end = key_end + NONCE_BYTES
            nonce, ciphertext = sealed[key_end:nonce_end], sealed[nonce_end:]
            return await self.keys.open_direct(key_id, nonce, ciphertext, place.team_id.encode())
        wrapped_at = key_end + _LENGTH_BYTES
        wrapped_end = wrapped_at + int.from_bytes(sealed[key_end:wrapped_at])
        data_key = await self.keys.unwrap(key_id, sealed[wrapped_at:wrapped_end], place.context)
        head, nonce_end = sealed[:wrapped_end], wrapped_end + NONCE_BYTES
        return decrypt(data_key, sealed[wrapped_end:nonce_end], sealed[nonce_end:], head + place.context)


def key_id_of(sealed: bytes) -> str:
    """Name the master key that a value is sealed under. Raises SealError when it is no sealed value."""
    return _key_of(sealed)[0]


def is_under(sealed: bytes, key_id: str) -> bool:
    """Whether a value has the present form and is sealed under this master key. Raises SealError."""
    return sealed[:1] == bytes([_V2]) and key_id_of(sealed) == key_id


def plain_of(kept: bytes) -> bytes | None:
    """Give what a migration found in plain and only marked; None for everything else."""
    return kept[1:] if kept[:1] == _PLAIN else None


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """Decrypt with AES-256-GCM. Raises SealError."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError):  # ValueError: too short for a nonce or a key
        raise SealError("wrong key, wrong team, wrong place, or changed bytes") from None


def _key_of(sealed: bytes) -> tuple[str, int]:
    if len(sealed) < _HEAD_BYTES or sealed[0] not in (_V1, _V2):
        raise SealError("not a sealed value")
    key_end = _HEAD_BYTES + sealed[1]
    return sealed[_HEAD_BYTES:key_end].decode("ascii", "replace"), key_end
