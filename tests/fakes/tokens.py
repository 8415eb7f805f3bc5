"""Tokens of every good and bad make, put together by hand: libraries refuse to make the bad ones."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000
ISSUER = "https://issuer.example/"
AUDIENCE = "mailwarden"
SECRET = "Vq3xN8ZtRk1mYw5cB7eJ2uHdL9sGaTf0"
PREVIOUS_SECRET = "h4Jr9WzK2vQx7MtYb5NcE8gDs1LpAf3U"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
ALGORITHM_OF = {
    rsa.RSAPrivateKey: "RS256",
    ec.EllipticCurvePrivateKey: "ES256",
    ed25519.Ed25519PrivateKey: "EdDSA",
}


def claims(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """What a good token says; a change to None leaves the claim out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        "exp": now + 300,
        "scope": "mail:scan",
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def b64(content: bytes | Mapping[str, Any] | str) -> str:
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def hs256(
    payload: Mapping[str, Any] | str,
    secret: str | bytes = SECRET,
    header: Mapping[str, Any] | str | None = None,
) -> str:
    """A token signed with a shared secret. `header` and `payload` may be raw text."""
    signed = f"{b64(header if header is not None else {'alg': 'HS256', 'typ': 'JWT'})}.{b64(payload)}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{b64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def signed(payload: Mapping[str, Any], key: PrivateKey, *, kid: str | None = "k1", **header: Any) -> str:
    """A token signed with a private key, by the algorithm of its type."""
    algorithm = next(name for kind, name in ALGORITHM_OF.items() if isinstance(key, kind))
    head = {"alg": algorithm, "typ": "JWT", **({} if kid is None else {"kid": kid}), **header}
    text = f"{b64(head)}.{b64(payload)}"
    signer = jwt.get_algorithm_by_name(algorithm)
    return f"{text}.{b64(signer.sign(text.encode(), key))}"


def jwk(key: PrivateKey, kid: str | None = "k1", **changes: Any) -> dict[str, Any]:
    """The public half as an issuer publishes it."""
    algorithm = next(name for kind, name in ALGORITHM_OF.items() if isinstance(key, kind))
    public = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    public.pop("key_ops", None)
    named = {**public, **({} if kid is None else {"kid": kid}), "use": "sig", **changes}
    return {name: value for name, value in named.items() if value is not None}


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
