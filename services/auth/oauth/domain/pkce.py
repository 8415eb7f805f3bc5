"""Proof Key for Code Exchange, S256 only (RFC 7636; `plain` protects nobody)."""

import hashlib
import re
from base64 import urlsafe_b64encode
from hmac import compare_digest
from typing import Final

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(text: str) -> bool:
    """Whether text can be an S256 challenge."""
    return _CHALLENGE.fullmatch(text) is not None


def challenge_of(verifier: str) -> str:
    """Derive the S256 challenge."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def proves(verifier: str, challenge: str) -> bool:
    """Whether a verifier belongs to a challenge."""
    is_verifier = _VERIFIER.fullmatch(verifier) is not None
    return compare_digest(challenge_of(verifier), challenge) and is_verifier
