"""The list header fields of RFC 2369 and RFC 2919, read by their client rules."""

import re
from dataclasses import dataclass

from services.mail_core.domain.addresses import MAX_NAME, printable
from services.mail_core.domain.encoded_words import decode_words, unfold

ONE_CLICK = "List-Unsubscribe=One-Click"
# Far above any real field; bounds the work that a hostile one can cause.
_FIELD_LIMIT = 65_536
_MAX_URIS = 16
_MAX_LIST_ID = 255
_LIST_ID = re.compile(r"<([^<>]*)>\s*(?:\([^()]*\)\s*)?$")
_BARE_LIST_ID = re.compile(r"[^\s<>@]+\.[^\s<>@]+")


@dataclass(frozen=True, slots=True)
class ListId:
    """A list's identifier, lower case, and the phrase that names it; the phrase may be empty."""

    phrase: str
    id: str


def parse_uris(field: str) -> tuple[str, ...]:
    """Give the URIs of a List-Unsubscribe (or other RFC 2369) field in the sender's order.

    A field that does not start with `<` is ignored, white space inside the brackets is removed, nothing
    is taken from comments, and reading stops after a URI that no comma follows (RFC 2369 section 2).
    """
    text = field[:_FIELD_LIMIT]
    uris: list[str] = []
    position = _skip_cfws(text, 0)
    while position < len(text) and text[position] == "<" and len(uris) < _MAX_URIS:
        end = text.find(">", position)
        if end < 0 or "<" in text[position + 1 : end]:
            break
        uri = re.sub(r"\s+", "", text[position + 1 : end])
        uris += [uri] if uri else []
        position = _after_comma(text, end + 1)
    return tuple(uris)


def scheme_of(uri: str) -> str:
    """Give the lower-case scheme of a URI; empty when it has none."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    return match[1].lower() if match else ""


def is_one_click(field: str) -> bool:
    """Say whether a List-Unsubscribe-Post field has its one value (RFC 8058 section 8.1)."""
    return re.sub(r"\s*=\s*", "=", unfold(field)).lower() == ONE_CLICK.lower()


def list_id(field: str | None) -> ListId | None:
    """Read a List-Id field: an optional phrase and an identifier in angle brackets (RFC 2919).

    Senders that leave the brackets out are understood when the whole field is one dotted word.
    """
    text = unfold(field or "")[:_FIELD_LIMIT]
    bracketed = _LIST_ID.search(text)
    if bracketed is None:
        return ListId("", text.lower()) if _is_bare_list_id(text) else None
    identifier = re.sub(r"\s+", "", bracketed[1]).lower()
    if not identifier or len(identifier) > _MAX_LIST_ID or printable(identifier) != identifier:
        return None
    return ListId(_phrase(text[: bracketed.start()]), identifier)


def _is_bare_list_id(text: str) -> bool:
    is_word = _BARE_LIST_ID.fullmatch(text) is not None
    return is_word and len(text) <= _MAX_LIST_ID and printable(text) == text


def _phrase(text: str) -> str:
    unquoted = re.sub(r"\\(.)", r"\1", text.strip().strip('"'))
    return printable(decode_words(unquoted))[:MAX_NAME].strip()


def _after_comma(text: str, position: int) -> int:
    """Go past commas (empty items are tolerated); to the end when something else follows."""
    position = _skip_cfws(text, position)
    if position >= len(text) or text[position] != ",":
        return len(text)
    while position < len(text) and text[position] == ",":
        position = _skip_cfws(text, position + 1)
    return position


def _skip_cfws(text: str, position: int) -> int:
    """Go past white space and comments; an unclosed comment swallows the rest."""
    while position < len(text):
        if text[position] == "(":
            position = _skip_comment(text, position)
        elif text[position] in " \t\r\n":
            position += 1
        else:
            break
    return position


def _skip_comment(text: str, position: int) -> int:
    depth = 0
    while position < len(text):
        char = text[position]
        depth += (char == "(") - (char == ")")
        position += 2 if char == "\\" else 1
        if depth == 0:
            break
    return position
