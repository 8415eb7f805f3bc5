"""JWTs of an issuer that the operator trusts: what they look like, and what their claims must say.

No cryptography here. A token is parsed by one strict reader (RFC 8725 §3.10): what that reader saw is
what gets verified and what gets believed.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.auth.domain.refusals import (
    credential_invalid,
    token_expired,
    token_not_yet_valid,
    token_type_refused,
)
from services.auth.domain.scopes import granted_scopes
from services.auth.domain.strict_json import read_object

MAX_CREDENTIAL_CHARS: Final = 8_192
MAX_LEEWAY_S: Final = 120
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_MAX_NAME_CHARS: Final = 255
_MAX_TIME_S: Final = float(2**53)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token that nobody has verified yet. `payload` is JSON that must not be read before that."""

    algorithm: str
    key_id: str | None
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the operator demands of tokens. An empty issuer or audience was not configured."""

    issuer: str = ""
    audience: str = ""
    leeway_s: float = 30.0


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """Whom a verified token names. Times are unix time in seconds; `issued_at` is None when not said."""

    principal: str
    scopes: frozenset[str]
    expires_at: float
    issued_at: float | None = None


def parse_token(text: str) -> SignedToken:
    """Take a compact JWS apart. Raises AppError CREDENTIAL_INVALID, TOKEN_TYPE_REFUSED."""
    match = _COMPACT.fullmatch(text) if len(text) <= MAX_CREDENTIAL_CHARS else None
    if match is None:
        raise credential_invalid()
    header = _read_object(_decode(match[1]))
    _check_type(header)
    algorithm, key_id = header.get("alg"), header.get("kid")
    # `crit` names extensions that must be understood (RFC 7515 §4.1.11); we understand none.
    if not isinstance(algorithm, str) or "crit" in header or not is_key_id(key_id):
        raise credential_invalid()
    signed = f"{match[1]}.{match[2]}".encode()
    return SignedToken(algorithm, key_id, signed, _decode(match[3]), _decode(match[2]))


def accept_claims(payload: bytes, rules: TokenRules, now_s: float) -> TokenSubject:
    """Read a verified token's claims (RFC 7519 §4.1).

    Raises AppError CREDENTIAL_INVALID, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID. The times are judged last, so
    that only a token which is for us in every other way is told about them.
    """
    claims = _read_object(payload)
    _check_issuer(claims, rules)
    _check_audience(claims, rules)
    subject = _subject(claims)
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise credential_invalid()
    issued_at = _time(claims, "iat")
    starts = [_time(claims, "nbf"), issued_at]
    if expires_at + rules.leeway_s <= now_s:
        raise token_expired()
    if any(start is not None and start > now_s + rules.leeway_s for start in starts):
        raise token_not_yet_valid()
    end = expires_at if expires_at > now_s else expires_at + rules.leeway_s
    return TokenSubject(f"{rules.issuer or 'jwt'}#{subject}", granted_scopes(claims), end, issued_at)


def _check_type(header: Mapping[str, Any]) -> None:
    if "typ" not in header:
        return
    typ = header["typ"]
    # Case does not matter and `application/` may be left out (RFC 7515 §4.1.9).
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
        raise token_type_refused()


def is_key_id(value: object) -> bool:
    """Whether a `kid` is absent or a short name. It is only ever compared, never part of a path or query."""
    if value is None:
        return True
    return (
        isinstance(value, str) and len(value) <= _MAX_NAME_CHARS and value.isascii() and value.isprintable()
    )


def _check_issuer(claims: Mapping[str, Any], rules: TokenRules) -> None:
    if rules.issuer and claims.get("iss") != rules.issuer:
        raise credential_invalid()


def _check_audience(claims: Mapping[str, Any], rules: TokenRules) -> None:
    audience = claims.get("aud")
    if audience is None and not rules.audience:
        return
    # A token that names an audience is not for whoever has not been given a name (RFC 7519 §4.1.3).
    names = audience if isinstance(audience, list) else [audience]
    if not rules.audience or rules.audience not in names:
        raise credential_invalid()


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_NAME_CHARS or not subject.isprintable():
        raise credential_invalid()
    return subject


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MAX_TIME_S:
        raise credential_invalid()
    return float(value)


def _decode(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise credential_invalid() from None


def _read_object(content: bytes) -> dict[str, Any]:
    try:
        return read_object(content)
    except ValueError:
        raise credential_invalid() from None
