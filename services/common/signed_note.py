"""Signed notes: text, an empty line, and a line for each signature (C2SP signed-note v1, Ed25519 alone).

    <text, which ends with a newline>

    — <key name> <base64 of the key's id (4 bytes) and the signature (64 bytes)>

The signature covers the text with its last newline. Tools that read the notes of transparency logs verify
ours with the verifier key: `<key name>+<hex of the id>+<base64 of 0x01 and the public key>`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519: Final = b"\x01"
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"[^\s+]+")
_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_MAX_SIGNATURES: Final = 16


class UnknownKeyError(Exception):
    """None of the note's signatures is by a key that we know. `key_ids`: by which it says to be, as hex."""

    def __init__(self, key_ids: Iterable[str]) -> None:
        self.key_ids = tuple(key_ids)
        super().__init__(", ".join(self.key_ids))


class BadNoteError(Exception):
    """Not a signed note, or not what a known key signed."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name that it signs under."""

    name: str
    public: Ed25519PublicKey = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read a verifier key. Raises ValueError."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = base64.b64decode(encoded, validate=True)
        if not _NAME.fullmatch(name) or len(raw) != 1 + _KEY_BYTES or raw[:1] != _ED25519:
            raise ValueError("not a verifier key of Ed25519")
        key = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        if key.id.hex() != key_id:
            raise ValueError("the id of the verifier key is not that of its key")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes by which signatures name the key."""
        content = self.name.encode() + b"\n" + _ED25519 + self.public.public_bytes_raw()
        return hashlib.sha256(content).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public.public_bytes_raw()).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Sign a text, which ends with a newline."""
    key = VerifierKey(name, private.public_key())
    signature = base64.b64encode(key.id + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n"


def open_note(note: str, keys: Iterable[VerifierKey]) -> tuple[str, VerifierKey]:
    """Give the text, and the key that vouches for it. Raises UnknownKeyError, BadNoteError.

    The first signature of a known key decides; those of others are skipped, as witnesses may add theirs.
    """
    known = {(key.name, key.id): key for key in keys}
    text, signatures = _split(note)
    for name, key_id, signature in signatures:
        if (key := known.get((name, key_id))) is not None:
            try:
                key.public.verify(signature, text.encode())
            except InvalidSignature:
                raise BadNoteError("the signature is not of this text") from None
            return text, key
    raise UnknownKeyError(key_id.hex() for _, key_id, _ in signatures)


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    text, gap, lines = note.rpartition("\n\n")
    found = [_LINE.fullmatch(line) for line in lines.removesuffix("\n").split("\n")]
    if not gap or not lines.endswith("\n") or None in found or len(found) > _MAX_SIGNATURES:
        raise BadNoteError("not a signed note")
    signatures = []
    for match in found:
        assert match is not None  # noqa: S101  looked at above
        try:
            content = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            raise BadNoteError("not a signed note") from None
        signatures.append((match[1], content[:_ID_BYTES], content[_ID_BYTES:]))
    return text + "\n", signatures
