"""What an issuer says about a token of its own (RFC 7662 §2.2), and whether that is enough for us.

Two ways to fail are kept apart. A token that is not for us is refused, and its holder gets another one. An
answer that cannot be read says nothing about the token: then nobody gets in, and nobody throws a token away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.auth.domain.refusals import (
    audience_refused,
    credential_invalid,
    token_expired,
    token_not_yet_valid,
    token_type_refused,
)
from services.auth.domain.scopes import ALL_SCOPES, TEAM_ADMIN

_MAX_NAME_CHARS: Final = 255
_MAX_TIME_S: Final = float(2**53)
_TEXTS: Final = ("iss", "sub", "scope", "token_type")
_TIMES: Final = ("exp", "nbf", "iat")
_SCOPES: Final = ALL_SCOPES - {TEAM_ADMIN}
"""A token must not make credentials, whoever issued it."""


class UnreadableAnswerError(Exception):
    """An answer that does not have the shape of RFC 7662. Holds a member's name, never its value."""


@dataclass(frozen=True, slots=True)
class IntrospectionRules:
    """What the operator demands of tokens."""

    issuer: str
    audience: str
    leeway_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Introspected:
    """Whom a token names. Times are unix time in seconds; None when the issuer set none, or does not say."""

    principal: str
    scopes: frozenset[str]
    expires_at: float | None
    issued_at: float | None = None


def accept_answer(answer: Mapping[str, Any], rules: IntrospectionRules, now_s: float) -> Introspected:
    """Judge an answer.

    Raises UnreadableAnswerError, or AppError UNAUTHENTICATED CREDENTIAL_INVALID, TOKEN_AUDIENCE_REFUSED,
    TOKEN_TYPE_REFUSED, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID.
    """
    active = answer.get("active")
    if not isinstance(active, bool):
        raise UnreadableAnswerError("active")
    # Of an inactive token nothing else is said, and nothing else is read (RFC 7662 §2.2).
    if not active:
        raise credential_invalid()
    _check_shape(answer)
    if answer.get("iss", rules.issuer) != rules.issuer:
        raise credential_invalid()
    if rules.audience not in _audience(answer):
        raise audience_refused()
    _check_type(answer)
    principal = f"{rules.issuer}#{_subject(answer)}"
    expires_at = _end(answer, rules.leeway_s, now_s)
    scopes = frozenset(answer.get("scope", "").split()) & _SCOPES
    return Introspected(principal, scopes, expires_at, answer.get("iat"))


def _check_shape(answer: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if name in answer and not isinstance(answer[name], str):
            raise UnreadableAnswerError(name)
    for name in _TIMES:
        if name in answer and not _is_time(answer[name]):
            raise UnreadableAnswerError(name)


def _is_time(value: object) -> bool:
    # NaN and infinities are beyond every bound.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_TIME_S


def _audience(answer: Mapping[str, Any]) -> list[str]:
    value = answer.get("aud", [])
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise UnreadableAnswerError("aud")
    return names


def _check_type(answer: Mapping[str, Any]) -> None:
    # A token that is bound to its sender's key (`cnf`, RFC 8705, RFC 9449) is not for whoever bears it.
    if answer.get("token_type", "bearer").lower() != "bearer" or "cnf" in answer:
        raise token_type_refused()


def _subject(answer: Mapping[str, Any]) -> str:
    subject = answer.get("sub", "")
    if not 1 <= len(subject) <= _MAX_NAME_CHARS or not subject.isprintable():
        raise credential_invalid()
    return subject


def _end(answer: Mapping[str, Any], leeway_s: float, now_s: float) -> float | None:
    start, end = answer.get("nbf"), answer.get("exp")
    if end is not None and end + leeway_s <= now_s:
        raise token_expired()
    if start is not None and start > now_s + leeway_s:
        raise token_not_yet_valid()
    if end is None or end > now_s:
        return end
    return end + leeway_s
