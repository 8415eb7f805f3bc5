"""The keys that access tokens are signed with, in one file: the first signs, all are published and count.

The file is read again when it changed, and says itself when each key begins and ends
(common/signing_keys.py), so keys rotate with an overlap and without a restart.
"""

import json
import time
from collections.abc import Callable, Mapping
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
from services.common.new_key_file import write_new_key
from services.common.signing_keys import DatedKey, read_dated_keys, signer_first, thumbprint
from services.common.watched_files import WatchedFiles

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
        kid = thumbprint(private.public_key())
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        seal_key = HKDF(hashes.SHA256(), 32, salt=None, info=_SEAL_PURPOSE).derive(der)
        return cls(private, {**required, "kid": kid, "use": "sig", "alg": ALGORITHM}, seal_key)


@dataclass(frozen=True, slots=True)
class _Dated:
    """A key of the file, and when it counts."""

    key: TokenKey
    dated: DatedKey = field(repr=False)


class FileTokenKeys:
    """Implements `ports.TokenKeys`."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        """Read the file. `clock` gives unix time in seconds. Raises UnusableTokenKeyError."""
        self._clock = clock
        self._watched = WatchedFiles("oauth_keys", [file], lambda: self._read(file))

    @classmethod
    def load(cls, file: Path, *, may_create: bool, clock: Callable[[], float] = time.time) -> "FileTokenKeys":
        """Read the file, making it when it is missing and may be made. Raises UnusableTokenKeyError."""
        if may_create and not file.exists():
            _create(file)
        return cls(file, clock)

    def current(self) -> tuple[TokenKey, ...]:
        """Give the keys that count, the one that signs first. Each use looks, as for passports."""
        keys = self._watched.refresh()
        places = signer_first([each.dated for each in keys], self._clock())
        # A file whose keys have all ended was left to itself for too long: its first key goes on.
        return tuple(keys[place].key for place in places) or (keys[0].key,)

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

    def _read(self, file: Path) -> tuple[_Dated, ...]:
        keys = _read(file)
        if not signer_first([each.dated for each in keys], self._clock()):
            raise UnusableTokenKeyError(f"OAUTH_KEY_FILE: {file} holds no key that may sign now.")
        return keys


def _create(file: Path) -> None:
    try:
        write_new_key(file, generate_private_key(SECP256R1()))
    except OSError as error:
        raise UnusableTokenKeyError(f"OAUTH_KEY_FILE: {file} cannot be made ({error.strerror}).") from error


def _read(file: Path) -> tuple[_Dated, ...]:
    try:
        dated_keys = read_dated_keys(file.read_bytes())
        keys = [load_pem_private_key(dated.pem, password=None) for dated in dated_keys]
    except OSError as error:
        raise UnusableTokenKeyError(f"OAUTH_KEY_FILE: {file} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError):
        dated_keys, keys = (), []
    fit = [
        key for key in keys if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ]
    if not fit or len(fit) != len(keys):
        raise UnusableTokenKeyError(
            f"OAUTH_KEY_FILE: {file} must hold P-256 keys as PEM, the current one first. Make one:"
            " openssl ecparam -name prime256v1 -genkey -noout"
        )
    return tuple(_Dated(TokenKey.of(key), dated) for key, dated in zip(fit, dated_keys, strict=True))
