"""The keys that passports are signed with, in a file that is read again on change (common/signing_keys.py).

`PASSPORT_KEY_PREVIOUS_FILE` names one more that is published and never signs: the older way to rotate.
"""

import contextlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.common.identity import PASSPORT_ALGORITHM, PASSPORT_TYPE
from services.common.new_key_file import write_new_key
from services.common.signing_keys import DatedKey, read_dated_keys, signer_first, thumbprint
from services.common.watched_files import WatchedFiles

_NEVER_S: Final = 2**53


class UnusableKeyError(Exception):
    """A key file that cannot be used. The text says which, and what to do; never what is in it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A published key."""

    key: Ed25519PublicKey
    jwk: Mapping[str, str]

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> "PublicKey":
        """Describe a key as a JWK (RFC 8037 §2), named by its thumbprint (RFC 7638)."""
        x = _base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
        required = {"crv": "Ed25519", "kty": "OKP", "x": x}
        return cls(key, {**required, "kid": thumbprint(key), "use": "sig", "alg": PASSPORT_ALGORITHM})

    @property
    def id(self) -> str:
        """The key's `kid`."""
        return self.jwk["kid"]


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of the file. One that is only published has no private half."""

    public: PublicKey
    private: Ed25519PrivateKey | None = field(repr=False)
    dated: DatedKey = field(repr=False)


class FilePassportKeys:
    """Signs with one key; publishes it, the one that comes next, and those whose passports still live."""

    def __init__(self, file: Path, previous_file: Path | None, clock: Callable[[], float]) -> None:
        """Read the files. `clock` gives unix time in seconds. Raises UnusableKeyError."""
        self._clock = clock
        files = [file] if previous_file is None else [file, previous_file]
        self._watched = WatchedFiles("passport_keys", files, lambda: self._read(file, previous_file))

    @classmethod
    def load(
        cls,
        file: Path,
        previous_file: Path | None,
        *,
        may_create: bool,
        clock: Callable[[], float] = time.time,
    ) -> "FilePassportKeys":
        """Read the files, making the first when it is missing and may be made. Raises UnusableKeyError."""
        if may_create and not file.exists():
            _create(file)
        return cls(file, previous_file, clock)

    @property
    def public(self) -> tuple[PublicKey, ...]:
        """The published keys, the one that signs first."""
        return tuple(key.public for key in self._current())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make the passport that says this. 45 µs, so it stays on the event loop."""
        key = self._current()[0]
        if key.private is None:
            raise RuntimeError("only keys of PASSPORT_KEY_FILE come first")
        headers = {"typ": PASSPORT_TYPE, "kid": key.public.id}
        return jwt.encode(dict(claims), key.private, algorithm=PASSPORT_ALGORITHM, headers=headers)

    def public_jwks(self) -> str:
        """Write the public keys as a JWK Set, the one that signs first."""
        return json.dumps({"keys": [dict(public.jwk) for public in self.public]})

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Give a public key by its id."""
        return next((public.key for public in self.public if public.id == key_id), None)

    def _current(self) -> tuple[_Key, ...]:
        # Each use looks: a replica that signs with a key which another has dropped, or does not know one that
        # another signs with, would have good calls refused.
        keys = self._watched.refresh()
        places = signer_first([key.dated for key in keys], self._clock())
        # A file whose keys have all ended was left to itself for too long: its first key goes on.
        return tuple(keys[place] for place in places) or keys[:1]

    def _read(self, file: Path, previous_file: Path | None) -> tuple[_Key, ...]:
        keys = _read_private(file)
        if not signer_first([key.dated for key in keys], self._clock()):
            raise UnusableKeyError(f"PASSPORT_KEY_FILE: {file} holds no key that may sign now.")
        if previous_file is not None:
            public = PublicKey.of(_read_public(previous_file))
            if public.id not in {key.public.id for key in keys}:
                never = DatedKey(b"", signs_from=_NEVER_S)
                keys.append(_Key(public, None, never))
        return tuple(keys)


def _create(file: Path) -> None:
    try:
        write_new_key(file, Ed25519PrivateKey.generate())
    except OSError as error:
        raise UnusableKeyError(f"PASSPORT_KEY_FILE: {file} cannot be made ({error.strerror}).") from error


def _read_private(file: Path) -> list[_Key]:
    try:
        dated_keys = read_dated_keys(_read(file, "PASSPORT_KEY_FILE"))
        keys = [load_pem_private_key(dated.pem, password=None) for dated in dated_keys]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        dated_keys, keys = (), []
    fit = [key for key in keys if isinstance(key, Ed25519PrivateKey)]
    if not fit or len(fit) != len(keys):
        raise _unusable(file, "PASSPORT_KEY_FILE")
    return [
        _Key(PublicKey.of(key.public_key()), key, dated) for key, dated in zip(fit, dated_keys, strict=True)
    ]


def _read_public(file: Path) -> Ed25519PublicKey:
    content = _read(file, "PASSPORT_KEY_PREVIOUS_FILE")
    for load in (lambda pem: load_pem_private_key(pem, password=None).public_key(), load_pem_public_key):
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            key = load(content)
            if isinstance(key, Ed25519PublicKey):
                return key
    raise _unusable(file, "PASSPORT_KEY_PREVIOUS_FILE")


def _read(file: Path, name: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnusableKeyError(
            f"{name}: {file} cannot be read ({error.strerror}). {_advice(name)}"
        ) from error


def _unusable(file: Path, name: str) -> UnusableKeyError:
    return UnusableKeyError(f"{name}: {file} must hold Ed25519 keys as PEM. {_advice(name)}")


def _advice(name: str) -> str:
    if name == "PASSPORT_KEY_FILE":
        return "Make one: openssl genpkey -algorithm ed25519"
    return "Name the file of the key before, or unset it."


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
