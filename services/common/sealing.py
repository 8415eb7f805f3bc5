"""Tenant secrets at rest: AES-256-GCM under a named master key, bound to the team that owns them.

Sealed form: `v1 ‖ len(key id) ‖ key id ‖ nonce(12) ‖ ciphertext ‖ tag(16)`. The team id is the
associated data, so a row copied to another team does not open. A key that cannot open fails closed.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"
_HEAD_BYTES: Final = 2
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class SealError(Exception):
    """Something sealed could not be opened: wrong key, wrong team, or changed bytes."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals with the first master key and opens with any of them, so that keys can rotate."""

    current_key_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, plaintext: bytes, team_id: str) -> bytes:
        """Encrypt for one team."""
        key_id = self.current_key_id.encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = AESGCM(self.keys[self.current_key_id]).encrypt(nonce, plaintext, team_id.encode())
        return _VERSION + bytes([len(key_id)]) + key_id + nonce + ciphertext

    def open(self, sealed: bytes, team_id: str) -> bytes:
        """Decrypt what was sealed for this team, or raise SealError."""
        if len(sealed) < _HEAD_BYTES or sealed[:1] != _VERSION:
            raise SealError("not a sealed value")
        key_end = _HEAD_BYTES + sealed[1]
        key = self.keys.get(sealed[_HEAD_BYTES:key_end].decode("ascii", "replace"))
        if key is None:
            raise SealError("sealed with a master key that this process does not have")
        nonce, ciphertext = sealed[key_end : key_end + _NONCE_BYTES], sealed[key_end + _NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, team_id.encode())
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise SealError("wrong key, wrong team, or changed bytes") from None


def read_master_keys(path: Path) -> Sealer:
    """Read `key_id:base64(32 bytes)` lines, the current key first.

    Raises ValueError when there is no usable line; the message holds no key material.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(path.read_text().split(), start=1):
        key_id, _, encoded = line.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
            raise ValueError(f"{path}: line {number} must be key_id:base64 of {KEY_BYTES} bytes")
        if key_id in keys:
            raise ValueError(f"{path}: line {number} repeats the key id of an earlier one")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{path}: no master key")
    return Sealer(next(iter(keys)), keys)


def new_master_key_line(key_id: str) -> str:
    """Make one fresh line for a master key file."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
