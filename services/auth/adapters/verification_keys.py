"""Keys that sign other people's JWTs, each bound to one algorithm before any token is seen.

The algorithm is a property of the key, never a wish of the token (RFC 8725 §3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.auth.domain.token import is_key_id

MIN_RSA_BITS: Final = 2_048
MAX_RSA_BITS: Final = 8_192
MAX_KEYS: Final = 100

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A key and the one algorithm that it is used with."""

    id: str
    algorithm: str
    material: Any = field(repr=False)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is of these bytes and by this key."""
        return jwt.get_algorithm_by_name(self.algorithm).verify(signed, self.material, signature)


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key of a JWK Set and the name that the set gives to it, if any."""

    key_id: str | None
    key: BoundKey


def keys_of(jwks: Mapping[str, Any], algorithms: frozenset[str]) -> tuple[PublishedKey, ...]:
    """Read the usable keys of a JWK Set (RFC 7517). What is unfit, or not for signing, is left out."""
    members = jwks.get("keys")
    if not isinstance(members, list):
        return ()
    found = (_key_of(member) for member in members[:MAX_KEYS] if isinstance(member, dict))
    return tuple(key for key in found if key is not None and key.key.algorithm in algorithms)


def _key_of(jwk: Mapping[str, Any]) -> PublishedKey | None:
    key_id = jwk.get("kid")
    if not is_key_id(key_id) or not _is_for_verifying(jwk):
        return None
    algorithm = _algorithm_of(jwk)
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    material = _material(jwk, algorithm)
    if material is None:
        return None
    return PublishedKey(key_id, BoundKey(f"jwks:{key_id or ''}", algorithm, material))


def _is_for_verifying(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithm_of(jwk: Mapping[str, Any]) -> str | None:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", None:
            return "RS256"
        case "EC", "P-256":
            return "ES256"
        case "OKP", "Ed25519":
            return "EdDSA"
    return None


def _material(jwk: Mapping[str, Any], algorithm: str) -> PublicKey | None:
    public = {name: jwk.get(name) for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk}
    if algorithm == "RS256" and not _is_rsa_size_sane(public.get("n")):
        return None
    try:
        material = jwt.get_algorithm_by_name(algorithm).from_jwk(public)
    except (jwt.InvalidKeyError, ValueError, TypeError):
        return None
    return material if _fits(material) else None


def _is_rsa_size_sane(modulus: object) -> bool:
    # Before the key is built: a huge modulus costs seconds of CPU.
    return isinstance(modulus, str) and len(modulus) <= MAX_RSA_BITS // 6 + 4


def _fits(material: object) -> bool:
    match material:
        case RSAPublicKey():
            return MIN_RSA_BITS <= material.key_size <= MAX_RSA_BITS
        case EllipticCurvePublicKey():
            return isinstance(material.curve, SECP256R1)
        case Ed25519PublicKey():
            return True
    return False
