"""Writing one message of a mailing list, as it lies in the mailbox."""

import base64
import hashlib
import html
import quopri
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, formataddr
from random import Random

from services.sandbox.lists import MailingList
from services.sandbox.received import Transport, field
from services.sandbox.topics import PERSONS, PLACES, TEXTS

_ON_THE_WAY = timedelta(seconds=7)


@dataclass(frozen=True, slots=True)
class Addressee:
    """To whom, and where the sandbox's senders can be reached."""

    name: str
    address: str
    senders_url: str


@dataclass(frozen=True, slots=True)
class Issue:
    """One message of a list: its number, its sender, when it came and what it says."""

    mailing_list: MailingList
    to: Addressee
    number: int
    instant: datetime
    subject: str
    paragraphs: tuple[str, ...]

    @property
    def sender(self) -> str:
        return self.mailing_list.senders[self.number % len(self.mailing_list.senders)]

    @property
    def boundary(self) -> str:
        return f"=_{self.mailing_list.name}"


def compose(mailing_list: MailingList, to: Addressee, number: int, instant: datetime) -> bytes:
    """Message `number` of a list; the same arguments give the same bytes."""
    random = Random(f"{mailing_list.name} {number}")
    subject, paragraphs = _texts(mailing_list, number, random)
    issue = Issue(mailing_list, to, number, instant, subject, paragraphs)
    transport = Transport(issue.sender, to.address, instant, mailing_list.dkim)
    lines = [*transport.fields(random), *_written_fields(issue), *_list_fields(mailing_list, to)]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + _body(issue)


def token_of(mailing_list: MailingList, subscriber: str) -> str:
    """The subscriber's token of one list: stable, so that a link of an old message still works."""
    digest = hashlib.sha256(f"{mailing_list.name} {subscriber}".encode()).digest()
    return base64.b32encode(digest)[:20].decode().lower()


def unsubscribe_uris(mailing_list: MailingList, to: Addressee) -> list[str]:
    token = token_of(mailing_list, to.address)
    values = {"senders": to.senders_url, "name": mailing_list.name, "token": token}
    return [template.format(**values) for template in mailing_list.unsubscribe]


def _texts(mailing_list: MailingList, number: int, random: Random) -> tuple[str, tuple[str, ...]]:
    texts = TEXTS[mailing_list.topic]
    words = {
        "n": number + 41,
        "percent": random.choice((15, 20, 25, 30, 40, 50, 60)),
        "person": random.choice(PERSONS),
        "place": random.choice(PLACES),
        "thing": random.choice(mailing_list.things or texts.things),
    }
    subject = texts.subjects[number % len(texts.subjects)].format(**words)
    return subject, tuple(paragraph.format(**words) for paragraph in texts.paragraphs)


def _written_fields(issue: Issue) -> list[str]:
    mailing_list = issue.mailing_list
    written = issue.instant - _ON_THE_WAY
    title, recipient = mailing_list.title, issue.to.address
    if mailing_list.is_discussion:
        title = f"{issue.sender.partition('@')[0].capitalize()} via {mailing_list.title}"
        recipient = _post_address(mailing_list)
    return [
        f"From: {formataddr((title, issue.sender))}",
        f"To: {recipient}",
        field("Subject", issue.subject),
        f"Date: {format_datetime(written)}",
        f"Message-ID: <{mailing_list.name}.{issue.number}.{written:%Y%m%d%H%M%S}@{mailing_list.domain}>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{issue.boundary}"',
    ]


def _list_fields(mailing_list: MailingList, to: Addressee) -> list[str]:
    lines: list[str] = []
    if mailing_list.list_id:
        lines.append(f"{field('List-Id', mailing_list.title)} <{mailing_list.list_id}>")
    if mailing_list.is_discussion:
        lines += [f"List-Post: <mailto:{_post_address(mailing_list)}>", "Precedence: list"]
    elif mailing_list.unsubscribe:
        lines.append("Precedence: bulk")
    uris = unsubscribe_uris(mailing_list, to)
    if uris:
        lines.append("List-Unsubscribe: " + ",\r\n ".join(f"<{uri}>" for uri in uris))
    if uris and mailing_list.post:
        lines.append(f"List-Unsubscribe-Post: {mailing_list.post}")
    if not mailing_list.is_discussion:
        lines.append(f"Feedback-ID: {mailing_list.name}:{to.address.partition('@')[0]}:campaign:sandbox")
    return lines


def _post_address(mailing_list: MailingList) -> str:
    name, _, domain = (mailing_list.list_id or "").partition(".")
    return f"{name}@{domain}"


def _body(issue: Issue) -> bytes:
    footer = TEXTS[issue.mailing_list.topic].footer
    uris = unsubscribe_uris(issue.mailing_list, issue.to)
    link = next((uri for uri in uris if uri.startswith("http")), "")
    plain = "\n\n".join([*issue.paragraphs, "-- ", footer, link]).rstrip() + "\n"
    items = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in issue.paragraphs)
    anchor = f' <a href="{html.escape(link)}">Unsubscribe</a>' if link else ""
    page = f"<html><body>{items}<hr><small>{html.escape(footer)}{anchor}</small></body></html>\n"
    parts = _part(issue.boundary, "plain", plain) + _part(issue.boundary, "html", page)
    return parts + f"--{issue.boundary}--\r\n".encode()


def _part(boundary: str, subtype: str, text: str) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + quopri.encodestring(text.encode()).replace(b"\n", b"\r\n")
