"""RFC 2047 encoded words, read so that no sender can make the reader fail."""

import base64
import binascii
import re
from itertools import groupby

_WORD = re.compile(r"=\?([\w.:+-]{1,40})(?:\*[\w-]{0,40})?\?([BbQq])\?([^?\s]*)\?=")
# White space between two encoded words is no text (RFC 2047 section 6.2).
_GAP = re.compile(r"(?<=\?=)\s+(?==\?[\w.:+*-]{1,80}\?[BbQq]\?)")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def unfold(value: str) -> str:
    """Undo folding (RFC 5322 section 2.2.3) and drop line breaks that a field cannot hold."""
    return _FOLD.sub("", value).replace("\r", " ").replace("\n", " ").strip()


def decode_words(value: str) -> str:
    """Decode the encoded words of a field body; what cannot be decoded stays readable text.

    Never raises: an unknown charset is read as UTF-8 with replacement characters.
    """
    text = _GAP.sub("", unfold(value))
    if "=?" not in text:
        return text
    return "".join(_decoded_runs(text))


def _decoded_runs(text: str) -> list[str]:
    runs: list[str] = []
    pending: list[tuple[str, bytes]] = []
    position = 0
    for word in _WORD.finditer(text):
        if word.start() > position:
            runs += [_joined(pending), text[position : word.start()]]
            pending = []
        pending.append((word[1].lower(), _word_bytes(word[2], word[3])))
        position = word.end()
    return [*runs, _joined(pending), text[position:]]


def _joined(words: list[tuple[str, bytes]]) -> str:
    """Decode neighbouring words of one charset together: senders split characters between them."""
    groups = groupby(words, key=lambda word: word[0])
    return "".join(_text(charset, b"".join(raw for _, raw in group)) for charset, group in groups)


def _word_bytes(encoding: str, payload: str) -> bytes:
    raw = payload.encode("utf-8", "replace")
    if encoding in "Qq":
        return _HEX.sub(lambda match: bytes([int(match[1], 16)]), raw.replace(b"_", b" "))
    try:
        return base64.b64decode(raw.rstrip(b"=") + b"=" * (-len(raw.rstrip(b"=")) % 4))
    except (binascii.Error, ValueError):
        return raw


def _text(charset: str, raw: bytes) -> str:
    try:
        text = raw.decode(charset, "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")
    # UTF-7 and Python's own escapes can spell halves of surrogate pairs, which no UTF-8 can hold.
    return text.encode("utf-8", "replace").decode("utf-8")
