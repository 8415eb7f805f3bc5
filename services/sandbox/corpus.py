"""Importing real mail: every message of a folder of .eml files or of one mbox, as it is."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from services.sandbox import rfc822
from services.sandbox.mailbox import Mailbox

_FROM_LINE = re.compile(rb"^From [^\n]*\n(?=[!-9;-~]+[ \t]*:|>?From )", re.MULTILINE)
_ENVELOPE_DATE = re.compile(rb"\d{1,2}:\d\d(:\d\d)?.*\d{4}")


def import_corpus(mailbox: Mailbox, source: Path, now: datetime) -> int:
    """Put every message into INBOX, unread, and return how many.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        ValueError: there is no message in it.

    """
    dated = [(_received(raw, now), raw) for raw in read_messages(source)]
    if not dated:
        raise ValueError(f"no message in {source}")
    dated.sort(key=lambda item: item[0])
    for instant, raw in dated:
        mailbox.add(raw, ("INBOX", "UNREAD"), instant)
    return len(dated)


def read_messages(source: Path) -> Iterator[bytes]:
    """Raw messages in the order of their paths, or of the mbox; a single .eml file is one message."""
    if source.suffix.lower() == ".eml" and source.is_file():
        yield source.read_bytes()
    elif source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.suffix.lower() == ".eml":
                yield path.read_bytes()
    else:
        yield from split_mbox(source.read_bytes())


def split_mbox(content: bytes) -> list[bytes]:
    """Messages of an mbox without their `From ` lines.

    A line starts a message when a header follows it and either a blank line (or nothing) comes before it,
    or it bears a date: so a sentence that starts with "From" stays where it is.
    """
    starts = [match for match in _FROM_LINE.finditer(content) if _separates(content, match)]
    if not starts or starts[0].start() > 0:
        raise ValueError("this is no mbox: it does not start with a From line")
    ends = [match.start() for match in starts[1:]] + [len(content)]
    return [_trimmed(content[match.end() : end]) for match, end in zip(starts, ends, strict=True)]


def _separates(content: bytes, match: re.Match[bytes]) -> bool:
    before = content[max(0, match.start() - 4) : match.start()]
    blank = not before or before.endswith((b"\n\n", b"\n\r\n"))
    return blank or _ENVELOPE_DATE.search(match.group()) is not None


def _trimmed(raw: bytes) -> bytes:
    """Drop the one line end that the mbox put after the message."""
    for ending in (b"\r\n\r\n", b"\n\n"):
        if raw.endswith(ending):
            return raw[: -len(ending) // 2]
    return raw


def _received(raw: bytes, now: datetime) -> datetime:
    """Date of the message, else of its newest Received field, else now: a date in the future is no date."""
    headers = rfc822.parse_headers(raw)
    candidates = [rfc822.first(headers, "date"), rfc822.first(headers, "received").rpartition(";")[2]]
    dates = (rfc822.parse_date(text) for text in candidates if text)
    return next((date for date in dates if date is not None and date <= now), now)
