"""Tenant secrets at rest: envelope encryption, bound to team, column and row of each value (ADR 0015).

Each value is sealed with a data key of its own (AES-256-GCM); the data key is wrapped by a named master key,
which never leaves its `KeyWrapper`. Sealed form:

    v3: 0x03 ‖ len(key id) ‖ key id ‖ len(wrapped key), 2 bytes ‖ wrapped key ‖ nonce(12) ‖ ciphertext ‖
        tag(16); the associated data is this head up to the nonce, and column, team and row
    v2: 0x02 and the same, bound to column and team alone
    v1: 0x01 ‖ len(key id) ‖ key id ‖ nonce(12) ‖ ciphertext ‖ tag(16), sealed with the master key itself and
        bound to the team alone; read, never written
    plain: 0x00 ‖ plaintext, what was kept in plain before its column was sealed

Which forms count is a matter of the key, not of the value: under a key that binds rows only v3 is written and
only v3 is read. Keys from before bind none: under them v2 is written, as older releases do, and v1 to v3 are
read. So nobody brings an older form back once the last such key is gone. What cannot be opened fails closed.
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
_V3: Final = 3
_HEAD_BYTES: Final = 2
_LENGTH_BYTES: Final = 2


class SealError(Exception):
    """Something sealed could not be opened: wrong key, wrong team, wrong place, or changed bytes."""


class KeyMissingError(SealError):
    """The master key that is needed is not there. `key_id` says which; ids are no secrets."""

    def __init__(self, key_id: str) -> None:
        super().__init__("sealed with a master key that this process does not have")
        self.key_id = key_id


class UnfitMasterKeysError(Exception):
    """Master keys that cannot serve. The text names key ids and says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a sealed value belongs to: a team, `table.column`, and a row of it. It opens nowhere else."""

    team_id: str
    column: str
    row_id: str

    @property
    def context(self) -> bytes:
        """The place as associated data; neither a column's name nor an id holds a colon."""
        return f"{self.column}:{self.team_id}:{self.row_id}".encode()

    @property
    def context_without_row(self) -> bytes:
        """The same for v2."""
        return f"{self.column}:{self.team_id}".encode()


class KeyWrapper(Protocol):
    """Master keys by id, in a file (`master_keys.py`) or a key management service (`transit_keys.py`).

    A service that cannot be asked raises AppError UNAVAILABLE KEY_SERVICE_DOWN from each call: that a value
    does not open and that nobody can say are two things.
    """

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that can be used now, the preferred first."""
        ...

    @property
    def current_key_id(self) -> str:
        """The master key that new values are sealed under."""
        ...

    def binds_rows(self, key_id: str) -> bool:
        """Whether nothing but v3 was ever sealed under this key."""
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

    def seal_under(self, key_id: str) -> None:
        """Seal under this key from now on."""
        ...

    async def refresh(self) -> None:
        """Look which keys there are. Raises UnfitMasterKeysError, AppError UNAVAILABLE KEY_SERVICE_DOWN."""
        ...


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals under the wrapper's current master key, opens what any of its keys sealed."""

    keys: KeyWrapper

    async def seal(self, plaintext: bytes, place: Place, key_id: str = "") -> bytes:
        """Encrypt for one place, under the current master key unless one is named."""
        key_id = key_id or self.keys.current_key_id
        form = self._form_under(key_id)
        context = _context(form, place)
        data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        wrapped = await self.keys.wrap(key_id, data_key, context)
        head = head_of(form, key_id) + len(wrapped).to_bytes(_LENGTH_BYTES) + wrapped
        return head + nonce + AESGCM(data_key).encrypt(nonce, plaintext, head + context)

    async def open(self, sealed: bytes, place: Place) -> bytes:
        """Decrypt what was sealed for this place. Raises SealError, KeyMissingError."""
        key_id, key_end = _key_of(sealed)
        form = sealed[0]
        if form < _V3 and self.keys.binds_rows(key_id):
            raise SealError("an older form than any that was sealed under this master key")
        if form == _V1:
            nonce_end = key_end + NONCE_BYTES
            nonce, ciphertext = sealed[key_end:nonce_end], sealed[nonce_end:]
            return await self.keys.open_direct(key_id, nonce, ciphertext, place.team_id.encode())
        context, wrapped_at = _context(form, place), key_end + _LENGTH_BYTES
        wrapped_end = wrapped_at + int.from_bytes(sealed[key_end:wrapped_at])
        data_key = await self.keys.unwrap(key_id, sealed[wrapped_at:wrapped_end], context)
        head, nonce_end = sealed[:wrapped_end], wrapped_end + NONCE_BYTES
        return decrypt(data_key, sealed[wrapped_end:nonce_end], sealed[nonce_end:], head + context)

    def plain_of(self, kept: bytes) -> bytes | None:
        """Give what a migration found in plain and only marked; None for everything else.

        Only beside a key from before: any other database has never held such a value, so one that it holds
        was put there.
        """
        if all(self.keys.binds_rows(key_id) for key_id in self.keys.key_ids):
            return None
        return kept[1:] if is_plain(kept) else None

    def current_head(self, key_id: str) -> bytes:
        """Give how every value begins that this sealer seals under a key: its form and the key's id."""
        return head_of(self._form_under(key_id), key_id)

    def _form_under(self, key_id: str) -> int:
        return _V3 if self.keys.binds_rows(key_id) else _V2


def key_id_of(sealed: bytes) -> str:
    """Name the master key that a value is sealed under. Raises SealError when it is no sealed value."""
    return _key_of(sealed)[0]


def binds_row(sealed: bytes) -> bool:
    """Whether a value has the present form."""
    return sealed[:1] == bytes([_V3])


def is_plain(kept: bytes) -> bool:
    """Whether something is only marked, not sealed."""
    return kept[:1] == _PLAIN


def head_of(form: int, key_id: str) -> bytes:
    """Write how a sealed value begins: form ‖ len(key id) ‖ key id."""
    named = key_id.encode()
    return bytes([form, len(named)]) + named


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """Decrypt with AES-256-GCM. Raises SealError."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError):  # ValueError: too short for a nonce or a key
        raise SealError("wrong key, wrong team, wrong place, or changed bytes") from None


def _key_of(sealed: bytes) -> tuple[str, int]:
    if len(sealed) < _HEAD_BYTES or sealed[0] not in (_V1, _V2, _V3):
        raise SealError("not a sealed value")
    key_end = _HEAD_BYTES + sealed[1]
    return sealed[_HEAD_BYTES:key_end].decode("ascii", "replace"), key_end


def _context(form: int, place: Place) -> bytes:
    return place.context if form == _V3 else place.context_without_row
