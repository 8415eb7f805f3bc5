"""The single terms of a Gmail search: `from:`, `in:`, `after:` and their like."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.sandbox.labels import LabelBook
from services.sandbox.mailbox import Mailbox, Message

Predicate = Callable[[Message], bool]

# "All dates used in the search query are interpreted as midnight on that date in the PST timezone."
_PACIFIC = ZoneInfo("America/Los_Angeles")
_WORD = re.compile(r"\w+", re.UNICODE)
_AGE = re.compile(r"(\d{1,6})([hdmy])")
_SIZE = re.compile(r"(\d{1,12})([kKmM]?)")
_AGE_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "m": timedelta(days=30),
    "y": timedelta(days=365),
}
_HEADERS = {
    "from": ("from",),
    "to": ("to", "cc", "bcc", "delivered-to"),
    "cc": ("cc",),
    "bcc": ("bcc",),
    "subject": ("subject",),
    "list": ("list-id", "list-post"),
    "deliveredto": ("delivered-to",),
}
_CATEGORIES = {
    "primary": "CATEGORY_PERSONAL",
    "social": "CATEGORY_SOCIAL",
    "promotions": "CATEGORY_PROMOTIONS",
    "updates": "CATEGORY_UPDATES",
    "forums": "CATEGORY_FORUMS",
}
_TEXT_CACHE = "search_tokens"


@dataclass(frozen=True, slots=True)
class Term:
    """What terms are read against: label names and the present."""

    mailbox: Mailbox
    now: datetime

    @property
    def labels(self) -> LabelBook:
        return self.mailbox.labels


def term(context: Term, operator: str, text: str) -> Predicate:
    """Predicate of one term; an operator that Gmail does not know is plain words."""
    if operator in _HEADERS:
        return _header(_HEADERS[operator], text)
    if operator in _READERS:
        return _READERS[operator](context, text)
    return _words(f"{operator} {text}" if operator else text)


def tokens(text: str) -> str:
    """Words of a text, lower case, each between spaces, so that `in` finds phrases; no words match all."""
    words = _WORD.findall(text.lower().replace("_", " "))
    return f" {' '.join(words)} " if words else ""


def _header(names: tuple[str, ...], text: str) -> Predicate:
    wanted = tokens(text)

    def matches(message: Message) -> bool:
        return any(wanted in tokens(field.value) for field in message.headers if field.name.lower() in names)

    return matches


def _words(text: str) -> Predicate:
    wanted = tokens(text)
    return lambda message: wanted in _all_text(message)


def _all_text(message: Message) -> str:
    cached = message.__dict__.get(_TEXT_CACHE)
    if cached is None:
        shown = ("subject", "from", "to", "cc")
        heads = [field.value for field in message.headers if field.name.lower() in shown]
        cached = message.__dict__[_TEXT_CACHE] = tokens(" \n ".join([*heads, message.text]))
    return cached


def _label(context: Term, text: str) -> Predicate:
    label_id = context.labels.named(text)
    return lambda message: label_id in message.labels


def _in(context: Term, text: str) -> Predicate:
    place = text.lower()
    if place == "anywhere":
        return lambda _: True
    if place == "archive":
        return lambda message: not message.labels & {"INBOX", "SPAM", "TRASH", "SENT", "DRAFT"}
    return _label(context, {"drafts": "draft"}.get(place, text))


def _is(context: Term, text: str) -> Predicate:
    if text.lower() == "read":
        return lambda message: "UNREAD" not in message.labels
    return _label(context, text)


def _category(_: Term, text: str) -> Predicate:
    label_id = _CATEGORIES.get(text.lower(), "")
    return lambda message: label_id in message.labels


def _has(context: Term, text: str) -> Predicate:
    if text.lower() == "attachment":
        return lambda message: b"filename" in message.raw.lower()
    own = {label.id for label in context.labels.by_id.values() if not label.is_system}
    if text.lower() == "userlabels":
        return lambda message: bool(message.labels & own)
    if text.lower() == "nouserlabels":
        return lambda message: not message.labels & own
    return lambda _: False


def _instant_ms(text: str) -> float | None:
    if re.fullmatch(r"\d{9,14}", text):
        return int(text) * 1000
    parts = re.fullmatch(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})", text)
    try:
        if parts:
            year, month, day = (int(part) for part in parts.groups())
            return datetime(year, month, day, tzinfo=_PACIFIC).timestamp() * 1000
    except ValueError:
        return None
    return None


def _after(_: Term, text: str) -> Predicate:
    instant = _instant_ms(text)
    return lambda message: instant is not None and message.internal_date_ms >= instant


def _before(_: Term, text: str) -> Predicate:
    instant = _instant_ms(text)
    return lambda message: instant is not None and message.internal_date_ms < instant


def _age_ms(context: Term, text: str) -> float | None:
    found = _AGE.fullmatch(text.lower())
    if not found:
        return None
    return context.now.timestamp() * 1000 - int(found[1]) * _AGE_UNITS[found[2]].total_seconds() * 1000


def _newer_than(context: Term, text: str) -> Predicate:
    instant = _age_ms(context, text)
    return lambda message: instant is not None and message.internal_date_ms >= instant


def _older_than(context: Term, text: str) -> Predicate:
    instant = _age_ms(context, text)
    return lambda message: instant is not None and message.internal_date_ms < instant


def _bytes(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(found[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20}[found[2].lower()] if found else None


def _larger(_: Term, text: str) -> Predicate:
    size = _bytes(text)
    return lambda message: size is not None and len(message.raw) > size


def _smaller(_: Term, text: str) -> Predicate:
    size = _bytes(text)
    return lambda message: size is not None and len(message.raw) < size


def _message_id(_: Term, text: str) -> Predicate:
    wanted = text.strip("<>")
    return lambda message: message.header("message-id").strip("<> ") == wanted


_READERS: dict[str, Callable[[Term, str], Predicate]] = {
    "label": _label,
    "in": _in,
    "is": _is,
    "category": _category,
    "has": _has,
    "after": _after,
    "newer": _after,
    "before": _before,
    "older": _before,
    "newer_than": _newer_than,
    "older_than": _older_than,
    "larger": _larger,
    "size": _larger,
    "smaller": _smaller,
    "rfc822msgid": _message_id,
}
