"""Reading raw messages as leniently as Gmail does: no header is lost, nothing raises."""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message as MimeMessage
from email.utils import parsedate_to_datetime
from typing import NamedTuple

_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\r\r")
_FIELD_NAME = re.compile(rb"[!-~]+")
_ENCODED_RUN = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?]*\?=(?:\s+=\?[^?\s]+\?[bBqQ]\?[^?]*\?=)*")
_ADDRESS_HEADERS = {"from", "to", "cc", "bcc", "reply-to", "sender", "delivered-to"}
_NEEDS_QUOTES = re.compile(r'[()<>\[\]:;@\\,."]')
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_OLDEST = datetime(1971, 1, 1, tzinfo=UTC)
_MAX_TEXT = 200_000
# What the standard library's parser lets through on broken parameters, encoded words and charsets.
_PARSER_FAILURES = (ValueError, LookupError, TypeError, AttributeError, AssertionError, MessageError)


class Header(NamedTuple):
    """One header field, unfolded and decoded as the Gmail API shows it."""

    name: str
    value: str


def parse_headers(raw: bytes) -> tuple[Header, ...]:
    """All header fields in their order; lines that are no header are passed over."""
    head = _head(raw)
    unfolded = re.sub(rb"\r?\n(?=[ \t])", b"", head)
    return tuple(filter(None, (_header(line) for line in re.split(rb"\r?\n|\r", unfolded))))


def first(headers: tuple[Header, ...], name: str) -> str:
    """Value of the first field of that name, or an empty text."""
    return next((header.value for header in headers if header.name.lower() == name), "")


def parse_date(text: str) -> datetime | None:
    """A Date as an aware instant; None for what no calendar knows."""
    try:
        parsed = parsedate_to_datetime(text)
        instant = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return instant if instant >= _OLDEST else None


def structure(raw: bytes) -> MimeMessage:
    """The MIME tree; of a message that defeats the parser, its body as one text."""
    try:
        return message_from_bytes(_without_envelope(raw))
    except _PARSER_FAILURES:
        whole = MimeMessage()
        whole.set_payload(decode_text(_without_envelope(raw)[len(_head(raw)) :].strip(), "utf-8"), "utf-8")
        return whole


def part_bytes(part: MimeMessage) -> bytes:
    """Decoded content of a leaf; text is brought to UTF-8 as Gmail does."""
    try:
        content = part.get_payload(decode=True)
    except _PARSER_FAILURES:
        content = str(part.get_payload()).encode(errors="replace")
    if not isinstance(content, bytes):
        return b""
    if part.get_content_maintype() != "text":
        return content
    return decode_text(content, _charset(part)).encode(errors="replace")


def plain_text(raw: bytes) -> str:
    """Words of the body, for search and snippet: the plain part, or the HTML without its tags."""
    leaves = [part for part in structure(raw).walk() if not part.is_multipart()]
    for subtype in ("plain", "html"):
        for part in leaves:
            if part.get_content_type() == f"text/{subtype}" and not filename(part):
                text = part_bytes(part)[:_MAX_TEXT].decode(errors="replace")
                return text if subtype == "plain" else _TAG.sub(" ", text)
    return ""


def filename(part: MimeMessage) -> str:
    """Name of an attachment, or an empty text."""
    try:
        return unfolded(part.get_filename() or "")
    except _PARSER_FAILURES:
        return ""


def form_name(part: MimeMessage) -> str:
    """Name of a field of multipart/form-data, or an empty text."""
    try:
        return str(part.get_param("name", "", header="content-disposition"))
    except _PARSER_FAILURES:
        return ""


def unfolded(value: object) -> str:
    """A field's value on one line, its raw octets decoded."""
    octets = str(value).encode("utf-8", "surrogateescape")
    return re.sub(r"\r?\n(?=[ \t])", "", decode_text(octets, "utf-8"))


def decode_text(content: bytes, charset: str) -> str:
    """Decode by charset, else as UTF-8, else as Windows-1252, which never fails when told to replace."""
    for candidate in (charset, "utf-8"):
        try:
            return content.decode(candidate)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return content.decode("cp1252", errors="replace")


def _charset(part: MimeMessage) -> str:
    try:
        return part.get_content_charset() or "utf-8"
    except _PARSER_FAILURES:
        return "utf-8"


def _without_envelope(raw: bytes) -> bytes:
    """Drop an mbox `From ` line: it is the file's, not the message's."""
    return raw.split(b"\n", 1)[-1] if raw.startswith(b"From ") and b"\n" in raw else raw


def _head(raw: bytes) -> bytes:
    message = _without_envelope(raw)
    if message.startswith((b"\n", b"\r\n")):
        return b""
    end = _BLANK_LINE.search(message)
    return message[: end.start()] if end else message


def _header(line: bytes) -> Header | None:
    name, colon, value = line.partition(b":")
    stripped = name.rstrip(b" \t")
    if not colon or not _FIELD_NAME.fullmatch(stripped):
        return None
    text = stripped.decode("ascii")
    return Header(text, _decoded(text.lower(), decode_text(value.strip(b" \t\r\n"), "utf-8")))


def _decoded(name: str, value: str) -> str:
    if "=?" not in value:
        return value
    quoted = name in _ADDRESS_HEADERS
    return _ENCODED_RUN.sub(lambda run: _decoded_run(run.group(), quoted=quoted), value)


def _decoded_run(run: str, *, quoted: bool) -> str:
    try:
        chunks = decode_header(run)
    except _PARSER_FAILURES:
        return run
    text = "".join(_chunk(content, charset) for content, charset in chunks)
    text = re.sub(r"[\r\n]+", " ", text)
    if quoted and _NEEDS_QUOTES.search(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _chunk(content: bytes | str, charset: str | None) -> str:
    return content if isinstance(content, str) else decode_text(content, charset or "utf-8")
