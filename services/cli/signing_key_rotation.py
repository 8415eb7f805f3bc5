"""Signing keys of passports and access tokens: new ones, in one write each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.cli.failure import Failure
from services.cli.secret_files import alone_with, read_secret, replace_secret
from services.common.identity import PASSPORT_LEEWAY_S, PASSPORT_LIFE_S
from services.common.signing_keys import (
    DatedKey,
    read_dated_keys,
    rotated,
    signer_first,
    thumbprint,
    write_dated_keys,
)

_IS_PUBLIC: Final = b"BEGIN PUBLIC KEY"
_CLOCKS_S: Final = 10
"""How far the clocks of replicas may be apart."""
MAX_TOKEN_LIFE_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class SigningFile:
    """One file of signing keys. `life_s`: how long after its making a token may still be shown.

    `keeps_ended`: what an ended key signed is verified for as long as it is kept, so the key stays.
    """

    purpose: str
    path: Path
    kind: type[Ed25519PrivateKey] | type[EllipticCurvePrivateKey]
    life_s: int
    keeps_ended: bool = False

    @classmethod
    def of_passports(cls, path: Path) -> "SigningFile":
        """The file that auth signs passports with."""
        return cls("passports", path, Ed25519PrivateKey, PASSPORT_LIFE_S + PASSPORT_LEEWAY_S + _CLOCKS_S)

    @classmethod
    def of_access_tokens(cls, path: Path) -> "SigningFile":
        """The file that auth signs OAuth access tokens with."""
        return cls("access tokens", path, EllipticCurvePrivateKey, MAX_TOKEN_LIFE_S + _CLOCKS_S)

    @classmethod
    def of_checkpoints(cls, path: Path) -> "SigningFile":
        """The file that auth signs checkpoints of the audit log with."""
        return cls("checkpoints", path, Ed25519PrivateKey, _CLOCKS_S, keeps_ended=True)

    def keys(self) -> tuple[DatedKey, ...]:
        """Read the keys. Raises Failure when the file holds anything else than keys for its purpose."""
        try:
            keys = read_dated_keys(read_secret(self.path))
            fit = all(self._fits(key) for key in keys)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            keys, fit = (), False
        if not keys or not fit:
            raise Failure(f"{self.path} does not hold signing keys for {self.purpose}")
        return keys

    def rotate(self, now_s: int, *, publish_s: int, drop_old: bool) -> str:
        """Write a new key in front; gives its id."""
        private = Ed25519PrivateKey.generate() if self.kind is Ed25519PrivateKey else _p256()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with alone_with(self.path):
            former = self.keys()
            if drop_old:
                keys: tuple[DatedKey, ...] = (DatedKey(pem, signs_from=now_s - _CLOCKS_S),)
            else:
                keys = rotated(former, pem, now_s, publish_s=publish_s, life_s=self.life_s)
            if self.keeps_ended:
                end = now_s + self.life_s
                kept = [key for key in former if drop_old or not key.counts(now_s)]
                keys += tuple(replace(key, until=min(key.until or end, end)) for key in kept)
            replace_secret(self.path, write_dated_keys(keys))
        return thumbprint(private.public_key())

    def described(self, now_s: float) -> list[tuple[str, str, DatedKey]]:
        """Tell each key's id, what it does now, and its times; no key material."""
        keys = self.keys()
        counting = signer_first(keys, now_s)
        told: list[tuple[str, str, DatedKey]] = []
        for place, key in enumerate(keys):
            state = "ended" if place not in counting else "signs" if place == counting[0] else "published"
            told.append((thumbprint(_public(key)), state, key))
        return told

    def _fits(self, key: DatedKey) -> bool:
        if self.keeps_ended and _IS_PUBLIC in key.pem:
            return isinstance(_public(key), Ed25519PublicKey)
        return isinstance(load_pem_private_key(key.pem, None), self.kind)


def _public(key: DatedKey) -> Ed25519PublicKey | EllipticCurvePublicKey:
    if _IS_PUBLIC in key.pem:
        public = load_pem_public_key(key.pem)
    else:
        public = load_pem_private_key(key.pem, None).public_key()
    if not isinstance(public, Ed25519PublicKey | EllipticCurvePublicKey):
        raise TypeError("keys() lets no other kind through")
    return public


def _p256() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def rotate_signing_keys(
    files: list[SigningFile], now_s: int, say: Callable[[str], None], *, publish_s: int, drop_old: bool
) -> None:
    """Rotate every file. Raises Failure before the first is written when one of them is not fit."""
    for file in files:
        file.keys()
    for file in files:
        key_id = file.rotate(now_s, publish_s=publish_s, drop_old=drop_old)
        if file.keeps_ended:
            when = "now" if drop_old else f"in {publish_s} s"
            say(f"{file.purpose}: {key_id} signs {when}; what older keys signed until then stays verified")
        elif drop_old:
            say(f"{file.purpose}: {key_id} signs now; what older keys signed is refused")
        else:
            say(
                f"{file.purpose}: {key_id} is published and signs in {publish_s} s;"
                f" older keys count for another {publish_s + file.life_s} s"
            )
