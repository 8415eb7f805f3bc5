"""The keys that checkpoints of the audit log are signed with, in a file that is read again on change.

Keys that sign no more stay in the file, for what they signed is verified as long as it is kept; of those
the public half is enough. `until` says from when on nothing is believed that a key signs
(common/signing_keys.py has the form of the file).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from services.auth.domain.audit_checkpoints import CheckpointKey
from services.common.audit_checkpoint import KEY_NAME
from services.common.new_key_file import write_new_key
from services.common.signed_note import VerifierKey, sign_note
from services.common.signing_keys import DatedKey, read_dated_keys, signer_first, thumbprint
from services.common.watched_files import WatchedFiles


class UnusableAuditKeyError(Exception):
    """A key file that cannot be used. The text says what to do; never what is in the file."""


@dataclass(frozen=True, slots=True)
class _Key:
    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None = field(repr=False)
    dated: DatedKey = field(repr=False)


class FileAuditKeys:
    """Implements `audit_ports.CheckpointKeys`."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        """Read the file. `clock` gives unix time in seconds. Raises UnusableAuditKeyError."""
        self._clock = clock
        self._watched = WatchedFiles("audit_keys", [file], lambda: self._read(file))

    @classmethod
    def load(cls, file: Path, *, may_create: bool, clock: Callable[[], float] = time.time) -> "FileAuditKeys":
        """Read the file, making it when it is missing and may be made. Raises UnusableAuditKeyError."""
        if may_create and not file.exists():
            try:
                write_new_key(file, Ed25519PrivateKey.generate())
            except OSError as error:
                raise UnusableAuditKeyError(
                    f"AUDIT_KEY_FILE: {file} cannot be made ({error.strerror})."
                ) from error
        return cls(file, clock)

    def sign(self, text: str) -> str:
        """Make the signed note of a text. Raises UnusableAuditKeyError when all keys have ended."""
        private = next((key.private for key in self._signers() if key.private is not None), None)
        if private is None:
            raise UnusableAuditKeyError("AUDIT_KEY_FILE holds no key that may sign now.")
        return sign_note(text, KEY_NAME, private)

    def public(self) -> tuple[CheckpointKey, ...]:
        """Give the public keys, those that sign no more as well."""
        return tuple(_checkpoint_key(key) for key in self._watched.refresh())

    @property
    def signing_id(self) -> str:
        """Name the key that signs, or would if it had not ended."""
        return thumbprint((self._signers() or self._watched.current())[0].public)

    def _signers(self) -> tuple[_Key, ...]:
        # Each use looks at the file: it is seldom, and what a replica signs with a dropped key is refused.
        return _signers(self._watched.refresh(), self._clock())

    def _read(self, file: Path) -> tuple[_Key, ...]:
        keys = _read(file)
        if not _signers(keys, self._clock()):
            raise UnusableAuditKeyError(f"AUDIT_KEY_FILE: {file} holds no key that may sign now.")
        return keys


def _signers(keys: tuple[_Key, ...], now_s: float) -> tuple[_Key, ...]:
    """Give the keys that may sign now, the one that does first."""
    private = tuple(key for key in keys if key.private is not None)
    return tuple(private[place] for place in signer_first([key.dated for key in private], now_s))


def _checkpoint_key(key: _Key) -> CheckpointKey:
    until = key.dated.until
    return CheckpointKey(
        VerifierKey(KEY_NAME, key.public), None if until is None else datetime.fromtimestamp(until, UTC)
    )


def _read(file: Path) -> tuple[_Key, ...]:
    try:
        keys = tuple(_key(dated) for dated in read_dated_keys(file.read_bytes()))
    except OSError as error:
        raise UnusableAuditKeyError(f"AUDIT_KEY_FILE: {file} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        keys = ()
    if not keys:
        raise UnusableAuditKeyError(
            f"AUDIT_KEY_FILE: {file} must hold Ed25519 keys as PEM, the current one first. Make one:"
            " openssl genpkey -algorithm ed25519"
        )
    return keys


def _key(dated: DatedKey) -> _Key:
    if b"PRIVATE KEY" in dated.pem:
        private = load_pem_private_key(dated.pem, password=None)
        if isinstance(private, Ed25519PrivateKey):
            return _Key(private.public_key(), private, dated)
    else:
        public = load_pem_public_key(dated.pem)
        if isinstance(public, Ed25519PublicKey):
            return _Key(public, None, dated)
    raise ValueError("not a key of Ed25519")
