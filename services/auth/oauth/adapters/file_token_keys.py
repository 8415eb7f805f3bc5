"""The keys that access tokens are signed with, in one file: the first signs, all are published and count.

The file is read again when it changed, so keys rotate with an overlap and without a restart: add the new
key behind the old one, wait until everybody has fetched the set, move it to the front, and take the old one
out when its last token has ended.
"""

import contextlib
import hashlib
import json
import os
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from services.auth.oauth.domain.tokens import ALGORITHM, TYPE
from services.common.telemetry import get_logger

LOOK_EVERY_S: Final = 1.0
_BLOCK: Final = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_SEAL_PURPOSE: Final = b"mailwarden oauth browser seal v1"


class UnusableTokenKeyError(Exception):
    """A key file that cannot be used. The text says what to do; never what is in the file."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key, and the key for sealing that is derived from it."""

    private: EllipticCurvePrivateKey = field(repr=False)
    jwk: Mapping[str, str]
    seal_key: bytes = field(repr=False)

    @classmethod
    def of(cls, private: EllipticCurvePrivateKey) -> "TokenKey":
        """Describe a key as a JWK, named by its thumbprint (RFC 7638)."""
        public = json.loads(jwt.get_algorithm_by_name(ALGORITHM).to_jwk(private.public_key()))
        required = {name: public[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
        kid = _base64url(hashlib.sha256(canonical.encode()).digest())
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        seal_key = HKDF(hashes.SHA256(), 32, salt=None, info=_SEAL_PURPOSE).derive(der)
        return cls(private, {**required, "kid": kid, "use": "sig", "alg": ALGORITHM}, seal_key)


class FileTokenKeys:
    """Implements `ports.TokenKeys`."""

    def __init__(self, file: Path, keys: tuple[TokenKey, ...], changed_at: float) -> None:
        self._file = file
        self._keys = keys
        self._changed_at = changed_at
        self._looked_at = time.monotonic()

    @classmethod
    def load(cls, file: Path, *, may_create: bool) -> "FileTokenKeys":
        """Read the file, making it when it is missing and may be made. Raises UnusableTokenKeyError."""
        if may_create and not file.exists():
            _create(file)
        return cls(file, _read(file), file.stat().st_mtime)

    def current(self) -> tuple[TokenKey, ...]:
        """Give the keys, the one that signs first."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look()
        return self._keys

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make the JWS that says this."""
        key = self.current()[0]
        headers = {"typ": TYPE, "kid": key.jwk["kid"]}
        return jwt.encode(dict(claims), key.private, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str) -> dict[str, Any] | None:
        """Give what a genuine token says, its times unjudged; None for any other."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != TYPE or header.get("alg") != ALGORITHM or "crit" in header:
                return None
            key = next((key for key in self.current() if key.jwk["kid"] == header.get("kid")), None)
            if key is None:
                return None
            options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
            return jwt.decode(token, key.private.public_key(), algorithms=[ALGORITHM], options=options)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None

    def public_jwks(self) -> dict[str, Any]:
        """Write the public keys as a JWK Set, the one that signs first."""
        return {"keys": [dict(key.jwk) for key in self.current()]}

    def _look(self) -> None:
        try:
            changed_at = self._file.stat().st_mtime
            if changed_at != self._changed_at:
                self._keys, self._changed_at = _read(self._file), changed_at
                get_logger().info("oauth_keys_read", count=len(self._keys))
        except (OSError, UnusableTokenKeyError) as error:
            # What was good a moment ago still is: a half-written file must not stop the service.
            get_logger().warning("oauth_keys_not_read", problem=type(error).__name__)


def _create(file: Path) -> None:
    """Write a new key, readable by us alone. Of two processes that start at once, one's key stays."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            output.write(pem)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)
        temporary.unlink()
    except OSError as error:
        raise UnusableTokenKeyError(f"OAUTH_KEY_FILE: {file} cannot be made ({error.strerror}).") from error


def _read(file: Path) -> tuple[TokenKey, ...]:
    try:
        blocks = _BLOCK.findall(file.read_bytes())
        keys = [load_pem_private_key(block, password=None) for block in blocks if b"PARAMETERS" not in block]
    except OSError as error:
        raise UnusableTokenKeyError(f"OAUTH_KEY_FILE: {file} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError):
        keys = []
    fit = [
        key for key in keys if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ]
    if not fit or len(fit) != len(keys):
        raise UnusableTokenKeyError(
            f"OAUTH_KEY_FILE: {file} must hold P-256 keys as PEM, the current one first. Make one:"
            " openssl ecparam -name prime256v1 -genkey -noout"
        )
    return tuple(TokenKey.of(key) for key in fit)


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
