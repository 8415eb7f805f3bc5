"""`mailto:` URIs of List-Unsubscribe (RFC 6068), reduced to what is safe to send on someone's behalf."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from services.mail_core.domain.addresses import MAX_ADDRESS, comparable_domain

DEFAULT_SUBJECT = "unsubscribe"
MAX_URI = 16_384
MAX_SUBJECT = 512
MAX_BODY = 4_096
# C0 and C1 controls, DEL, and the separators at which some mail software breaks lines.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_DOMAIN = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)


class MailtoProblem(StrEnum):
    """Why a `mailto:` URI is not used."""

    NOT_MAILTO = "NOT_MAILTO"
    NO_RECIPIENT = "NO_RECIPIENT"
    SEVERAL_RECIPIENTS = "SEVERAL_RECIPIENTS"
    RECIPIENT_INVALID = "RECIPIENT_INVALID"
    CONTROL_CHARACTER = "CONTROL_CHARACTER"
    NOT_UTF8 = "NOT_UTF8"
    TOO_LONG = "TOO_LONG"


@dataclass(frozen=True, slots=True)
class Mailto:
    """The mail that a URI asks for: one recipient, one line of subject, a plain-text body."""

    recipient: str
    subject: str = DEFAULT_SUBJECT
    body: str = ""


class _RefusedError(Exception):
    def __init__(self, problem: MailtoProblem) -> None:
        super().__init__(problem)
        self.problem = problem


def parse_mailto(uri: str) -> Mailto | MailtoProblem:
    """Read a `mailto:` URI, or say why it is refused.

    Recipients are split before percent-decoding, `+` is literal, `to=` adds a recipient, and of the
    other fields only the first subject and body count: cc, bcc and unknown ones are dropped (RFC 6068
    section 4). Line breaks are allowed in the body alone. Without a subject it is `unsubscribe`, since
    some list managers ignore a mail that says nothing.
    """
    try:
        return _parse(uri)
    except _RefusedError as refused:
        return refused.problem


def _parse(uri: str) -> Mailto:
    _require(uri[:7].lower() == "mailto:", MailtoProblem.NOT_MAILTO)
    _require(len(uri) <= MAX_URI, MailtoProblem.TOO_LONG)
    path, _, query = uri[7:].partition("#")[0].partition("?")
    fields = _fields(query)
    subject = next((value for name, value in fields if name == "subject"), "")
    body = next((value for name, value in fields if name == "body"), "")
    _require(len(subject) <= MAX_SUBJECT and len(body) <= MAX_BODY, MailtoProblem.TOO_LONG)
    _require(not _CONTROLS.search(subject), MailtoProblem.CONTROL_CHARACTER)
    plain_body = body.replace("\r\n", "\n")
    _require(not _CONTROLS.search(plain_body.replace("\n", "")), MailtoProblem.CONTROL_CHARACTER)
    recipients = path.split(",") + [
        part for name, raw in _raw_fields(query) if name == "to" for part in raw.split(",")
    ]
    return Mailto(_recipient(recipients), subject.strip() or DEFAULT_SUBJECT, plain_body)


def _recipient(encoded: list[str]) -> str:
    addresses = dict.fromkeys(_address(part) for part in encoded if part.strip())
    _require(bool(addresses), MailtoProblem.NO_RECIPIENT)
    _require(len(addresses) == 1, MailtoProblem.SEVERAL_RECIPIENTS)
    return next(iter(addresses))


def _address(encoded: str) -> str:
    address = _decode(encoded)
    _require(not _CONTROLS.search(address), MailtoProblem.CONTROL_CHARACTER)
    local, _, domain = address.strip().rpartition("@")
    plain = f"{local}@{comparable_domain(domain)}"
    _require(len(plain) <= MAX_ADDRESS, MailtoProblem.TOO_LONG)
    is_plain = _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(comparable_domain(domain))
    _require(bool(is_plain), MailtoProblem.RECIPIENT_INVALID)
    return plain


def _fields(query: str) -> list[tuple[str, str]]:
    return [(name, _decode(value)) for name, value in _raw_fields(query) if name in ("subject", "body")]


def _raw_fields(query: str) -> list[tuple[str, str]]:
    """Split the query, names decoded, values not. `&amp;` is what careless senders write for `&`."""
    items = (item.partition("=") for item in re.split(r"&(?:amp;)?", query))
    return [(_decode(name).lower(), value) for name, equals, value in items if equals]


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise _RefusedError(MailtoProblem.NOT_UTF8) from error


def _require(holds: bool, problem: MailtoProblem) -> None:
    if not holds:
        raise _RefusedError(problem)
