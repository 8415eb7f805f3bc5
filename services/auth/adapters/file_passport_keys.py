"""The key that passports are signed with, in a file; and the one before it, published for an overlap."""

import contextlib
import hashlib
import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.common.identity import PASSPORT_ALGORITHM, PASSPORT_TYPE


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
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
        thumbprint = hashlib.sha256(canonical.encode()).digest()
        return cls(key, {**required, "kid": _base64url(thumbprint), "use": "sig", "alg": PASSPORT_ALGORITHM})

    @property
    def id(self) -> str:
        """The key's `kid`."""
        return self.jwk["kid"]


@dataclass(frozen=True, slots=True)
class FilePassportKeys:
    """Signs with one key; publishes it and, during a rotation, the one before."""

    private: Ed25519PrivateKey = field(repr=False)
    public: tuple[PublicKey, ...]

    @classmethod
    def load(cls, file: Path, previous_file: Path | None, *, may_create: bool) -> "FilePassportKeys":
        """Read the files, making the first when it is missing and may be made. Raises UnusableKeyError."""
        if may_create and not file.exists():
            _create(file)
        private = _read_private(file)
        public = [private.public_key()]
        if previous_file is not None:
            public.append(_read_public(previous_file))
        return cls(private, tuple(PublicKey.of(key) for key in public))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make the passport that says this. 45 µs, so it stays on the event loop."""
        headers = {"typ": PASSPORT_TYPE, "kid": self.public[0].id}
        return jwt.encode(dict(claims), self.private, algorithm=PASSPORT_ALGORITHM, headers=headers)

    def public_jwks(self) -> str:
        """Write the public keys as a JWK Set, the newest first."""
        return json.dumps({"keys": [dict(public.jwk) for public in self.public]})

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Give a public key by its id."""
        return next((public.key for public in self.public if public.id == key_id), None)


def _create(file: Path) -> None:
    """Write a new key, readable by us alone. Of two processes that start at once, one's key stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            output.write(pem)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)
        temporary.unlink()
    except OSError as error:
        raise UnusableKeyError(f"PASSPORT_KEY_FILE: {file} cannot be made ({error.strerror}).") from error


def _read_private(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read(file, "PASSPORT_KEY_FILE"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(file, "PASSPORT_KEY_FILE")
    return key


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
    return UnusableKeyError(f"{name}: {file} must hold an Ed25519 key as PEM. {_advice(name)}")


def _advice(name: str) -> str:
    if name == "PASSPORT_KEY_FILE":
        return "Make one: openssl genpkey -algorithm ed25519"
    return "Name the file of the key before, or unset it."


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
