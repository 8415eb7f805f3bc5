"""Authentication-Results (RFC 8601) as the mailbox's own receiver wrote it, and nobody else."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.mail_core.domain.encoded_words import unfold
from services.mail_core.domain.message import Headers

GMAIL_AUTHSERV_IDS: tuple[str, ...] = ("mx.google.com",)
_FIELD_LIMIT = 16_384
_METHOD = re.compile(r"([\w-]+)(?:/\d+)?=([\w-]+)", re.ASCII)
# The look-behinds keep a long run of letters from being tried at each of them.
_SPACED = re.compile(r"(?<![\w.-])([\w-]+\.[\w.-]+)\s*=\s*", re.ASCII)
_PROPERTY = re.compile(r'(?<![\w.-])([\w-]+\.[\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)', re.ASCII)
# A quoted string that is never closed runs to the end.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|[^"]+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One result: method and result in lower case, properties as `header.d` → value."""

    method: str
    result: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """One parsed field."""

    authserv_id: str
    results: tuple[MethodResult, ...]


def parse_authentication_results(field: str) -> AuthenticationResults | None:
    """Read one field; None when it names no server. Parts that cannot be read are left out."""
    parts = _split(_without_comments(unfold(field)[:_FIELD_LIMIT]))
    server = parts[0].split()
    if not server:
        return None
    results = tuple(result for part in parts[1:] if (result := _result(part)) is not None)
    return AuthenticationResults(server[0].strip('"').lower(), results)


def own_results(headers: Headers, authserv_ids: Collection[str]) -> AuthenticationResults | None:
    """Give the results of the mailbox's own receiver.

    Only the topmost field is believed, and only under the receiver's own name: a receiver puts its field
    above all that a message came with, so every lower one may be the sender's invention (RFC 8601
    section 7.1), and a foreign one on top means that ours is missing.
    """
    topmost = headers.get("Authentication-Results")
    parsed = parse_authentication_results(topmost) if topmost is not None else None
    return parsed if parsed is not None and parsed.authserv_id in authserv_ids else None


def _result(part: str) -> MethodResult | None:
    text = re.sub(r"\s*=\s*", "=", part.strip(), count=1)
    method = _METHOD.match(text)
    if method is None:
        return None
    properties = {
        match[1].lower(): _unquoted(match[2])
        for match in _PROPERTY.finditer(_SPACED.sub(r"\1=", text[method.end() :]))
    }
    return MethodResult(method[1].lower(), method[2].lower(), properties)


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if is_quoted else value


def _split(text: str) -> list[str]:
    """Split at semicolons that stand outside quoted strings."""
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece.startswith('"'):
            parts[-1] += piece
        else:
            first, *rest = piece.split(";")
            parts[-1] += first
            parts += rest
    return parts


def _without_comments(text: str) -> str:
    """Blank out comments, which may nest and may hold anything; quoted strings are kept."""
    kept: list[str] = []
    depth = 0
    for piece in re.findall(r'"(?:[^"\\]|\\.)*"?|\\.|.', text, re.DOTALL):
        if piece == "(":
            depth += 1
        elif piece == ")" and depth:
            depth -= 1
            kept.append(" ")
        elif not depth:
            kept.append(piece)
    return "".join(kept)
