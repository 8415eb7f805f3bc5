"""Addresses of From and To as real mail writes them: quoted, commented, encoded, doubled or broken."""

import re
from dataclasses import dataclass

from services.mail_core.domain.encoded_words import decode_words, unfold

# RFC 5321 section 4.5.3.1 caps an address at 254 characters; a name longer than this is noise.
MAX_ADDRESS = 254
MAX_NAME = 200
_FIELD_LIMIT = 8192
_TOKEN = re.compile(
    r"""
    (?P<quoted>"(?:[^"\\]|\\.)*"?)      # a quoted string, closed or not
    |(?P<comment>\()                    # start of a comment, which may nest
    |(?P<angle><[^<>]*>?)               # the address of a mailbox with a name
    |(?P<comma>,)
    |(?P<text>[^"(<,]+)
    """,
    re.VERBOSE | re.DOTALL,
)
# Starts at the start of a word, so that a long one without `@` is tried once.
_BARE = re.compile(r"(?<![^\s:;<>])[^\s:;<>]+@[^\s:;<>@]+")
# Halves of surrogate pairs are no text: neither UTF-8 nor a database can hold them.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. `name` is decoded, untrusted and may be empty; `email` has a lower-case domain."""

    name: str
    email: str

    @property
    def domain(self) -> str:
        """Part after the last `@`, lower case, IDNA where that is possible."""
        return domain_of(self.email)


def parse_addresses(value: str) -> tuple[Address, ...]:
    """Read the mailboxes of a From or To field, in order. Garbage gives fewer of them, never an error."""
    parts = _split(unfold(value)[:_FIELD_LIMIT])
    return tuple(address for part in parts if (address := _address(part)) is not None)


def parse_address(value: str) -> Address | None:
    """Read the first mailbox of a field, the one that a From with two authors is known by."""
    return next(iter(parse_addresses(value)), None)


def domain_of(email: str) -> str:
    """Give the domain of an address in one comparable form; empty when there is none."""
    return comparable_domain(email.rpartition("@")[2]) if "@" in email else ""


def comparable_domain(domain: str) -> str:
    """Lower-case a domain, drop a root dot, turn Unicode labels into IDNA where they have a form."""
    plain = domain.strip().rstrip(".").lower()
    if plain.isascii() or len(plain) > MAX_ADDRESS:
        return plain
    try:
        return plain.encode("idna").decode("ascii")
    except UnicodeError:
        return plain


def is_within(domain: str, parent: str) -> bool:
    """Say whether `domain` is `parent` or below it; both in comparable form."""
    return domain == parent or domain.endswith("." + parent)


def printable(text: str) -> str:
    """Make untrusted text fit for one line: no controls, no direction overrides, single spaces."""
    return " ".join(_CONTROLS.sub(" ", text).split())


@dataclass(slots=True)
class _Part:
    """What was read of one mailbox so far."""

    words: list[str]
    comments: list[str]
    angle: str | None = None


def _split(text: str) -> list[_Part]:
    parts = [_Part([], [])]
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or token.lastgroup == "comment":
            comment, position = _comment(text, position)
            parts[-1].comments.append(comment)
            continue
        position = token.end()
        if token.lastgroup == "comma":
            parts.append(_Part([], []))
        else:
            _take(parts[-1], token.lastgroup, token[0])
    return parts


def _take(part: _Part, kind: str | None, text: str) -> None:
    if kind == "angle":
        part.angle = text.strip("<>") if part.angle is None else part.angle
    elif kind == "quoted":
        part.words.append(re.sub(r"\\(.)", r"\1", text.removeprefix('"').removesuffix('"')))
    else:
        part.words.append(text)


def _comment(text: str, start: int) -> tuple[str, int]:
    """Read a comment that may nest; an unclosed one runs to the end. Gives its text and its end."""
    depth, position = 0, start
    while position < len(text):
        char = text[position]
        depth += (char == "(") - (char == ")")
        position += 2 if char == "\\" else 1
        if depth == 0:
            return text[start + 1 : position - 1], position
    return text[start + 1 :], len(text)


def _address(part: _Part) -> Address | None:
    words = " ".join(part.words)
    if part.angle is not None:
        return _checked(words, part.angle)
    bare = _BARE.search(words)
    return _checked(" ".join(part.comments), bare[0]) if bare else None


def _checked(name: str, email: str) -> Address | None:
    """Check an address and decode its name, in this order: an encoded name cannot become an address."""
    local, _, written = re.sub(r"\s+", "", email).rpartition("@")
    # Of a domain that is all dots nothing is left.
    domain = comparable_domain(written)
    clean = f"{local}@{domain}"
    if not local or not domain or len(clean) > MAX_ADDRESS or _CONTROLS.search(email):
        return None
    return Address(printable(decode_words(name)).strip("'\" ")[:MAX_NAME].strip(), clean)
