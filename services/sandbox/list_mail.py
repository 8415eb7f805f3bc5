"""Writing one message of a mailing list, with the header fields that Gmail's receiver puts on top."""

import base64
import hashlib
import html
import quopri
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.header import Header
from email.utils import format_datetime, formataddr
from random import Random

from services.sandbox.lists import Dkim, MailingList
from services.sandbox.topics import PERSONS, PLACES, TEXTS

_SIGNED = "from:to:subject:date:message-id:mime-version:content-type:list-id:list-unsubscribe"
_POST_SIGNED = ":list-unsubscribe-post"


@dataclass(frozen=True, slots=True)
class Addressee:
    """To whom, and where the sandbox's senders can be reached."""

    name: str
    address: str
    senders_url: str


def token_of(mailing_list: MailingList, subscriber: str) -> str:
    """The subscriber's token of one list: stable, so that a link of an old message still works."""
    digest = hashlib.sha256(f"{mailing_list.name} {subscriber}".encode()).digest()
    return base64.b32encode(digest)[:20].decode().lower()


def unsubscribe_uris(mailing_list: MailingList, to: Addressee) -> list[str]:
    values = {
        "senders": to.senders_url,
        "name": mailing_list.name,
        "token": token_of(mailing_list, to.address),
    }
    return [template.format(**values) for template in mailing_list.unsubscribe]


def compose(mailing_list: MailingList, to: Addressee, number: int, instant: datetime) -> bytes:
    """Message `number` of a list; the same arguments give the same bytes."""
    random = Random(f"{mailing_list.name} {number}")
    sender = mailing_list.senders[number % len(mailing_list.senders)]
    subject, paragraphs = _texts(mailing_list, number, random)
    own = [
        *_written_fields(mailing_list, to, sender, subject, instant, number),
        *_list_fields(mailing_list, to),
    ]
    lines = [*envelope(sender, to.address, instant, random, mailing_list.dkim), *own]
    footer = TEXTS[mailing_list.topic].footer
    return _message(lines, _body(mailing_list, to, paragraphs, footer))


def envelope(sender: str, to: str, instant: datetime, random: Random, dkim: Dkim) -> list[str]:
    """Fields of the transport, topmost first: what mx.google.com writes, then what came with the mail."""
    domain = sender.rpartition("@")[2]
    address = f"192.0.2.{random.randrange(1, 255)}"
    signature = base64.b64encode(random.randbytes(256)).decode()
    body_hash = base64.b64encode(random.randbytes(32)).decode()
    stamp = format_datetime(instant)
    bounce = f"bounces+{random.randrange(10**7)}@{domain}"
    covered = _SIGNED if dkim is Dkim.LACKS_POST else _SIGNED + _POST_SIGNED
    lines = [
        f"Delivered-To: {to}",
        f"Received: by 2002:a05:6a10:{random.randrange(1 << 16):x}:b0:5e:{random.randrange(1 << 16):x} with SMTP id "
        f"q{random.randbytes(6).hex()};\r\n        {stamp}",
        f"Return-Path: <{bounce}>",
        f"Received: from out.{domain} (out.{domain}. [{address}])\r\n        by mx.google.com with ESMTPS id "
        f"{random.randbytes(8).hex()}\r\n        for <{to}>\r\n        (version=TLS1_3 "
        f"cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        {stamp}",
        f"Received-SPF: pass (google.com: domain of {bounce} designates {address} as permitted sender) "
        f"client-ip={address};",
        _results(sender, bounce, address, signature, is_pass=dkim in {Dkim.COVERS, Dkim.LACKS_POST}),
    ]
    if dkim is Dkim.FORGED:
        lines.append(_results(sender, bounce, address, signature, is_pass=True))
    signed = "\r\n         ".join(signature[start : start + 68] for start in range(0, len(signature), 68))
    lines.append(
        f"DKIM-Signature: v=1; a=rsa-sha256; q=dns/txt; c=relaxed/relaxed; d={domain}; s=s1;\r\n        h={covered};"
        f"\r\n        bh={body_hash};\r\n        b={signed}"
    )
    return lines


def field(name: str, value: str) -> str:
    """One header line; what is not ASCII becomes encoded words."""
    if value.isascii():
        return f"{name}: {value}"
    return f"{name}: {Header(value, 'utf-8', header_name=name).encode(linesep=chr(13) + chr(10))}"


def _message(lines: list[str], body: bytes) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode() + body


def _results(sender: str, bounce: str, address: str, signature: str, *, is_pass: bool) -> str:
    domain = sender.rpartition("@")[2]
    dkim = "pass" if is_pass else "fail (body hash did not verify)"
    dmarc = "pass (p=REJECT sp=REJECT dis=NONE)" if is_pass else "fail (p=NONE sp=NONE dis=NONE)"
    return (
        f"Authentication-Results: mx.google.com;\r\n       dkim={dkim} header.i=@{domain} header.s=s1 "
        f"header.b={signature[:8]};\r\n       spf=pass (google.com: domain of {bounce} designates {address} as "
        f"permitted sender) smtp.mailfrom={bounce};\r\n       dmarc={dmarc} header.from={domain}"
    )


def _texts(mailing_list: MailingList, number: int, random: Random) -> tuple[str, list[str]]:
    texts = TEXTS[mailing_list.topic]
    words = {
        "n": number + 41,
        "percent": random.choice((15, 20, 25, 30, 40, 50, 60)),
        "person": random.choice(PERSONS),
        "place": random.choice(PLACES),
        "thing": random.choice(texts.things),
    }
    subject = texts.subjects[number % len(texts.subjects)].format(**words)
    return subject, [paragraph.format(**words) for paragraph in texts.paragraphs]


def _written_fields(
    mailing_list: MailingList, to: Addressee, sender: str, subject: str, instant: datetime, number: int
) -> list[str]:
    written = instant - timedelta(seconds=7)
    title = mailing_list.title
    if mailing_list.is_discussion:
        title = f"{sender.partition('@')[0].capitalize()} via {mailing_list.title}"
    recipient = _post_address(mailing_list) if mailing_list.is_discussion else to.address
    return [
        f"From: {formataddr((title, sender))}",
        f"To: {recipient}",
        field("Subject", subject),
        f"Date: {format_datetime(written)}",
        f"Message-ID: <{mailing_list.name}.{number}.{written:%Y%m%d%H%M%S}@{mailing_list.domain}>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="=_{mailing_list.name}"',
    ]


def _list_fields(mailing_list: MailingList, to: Addressee) -> list[str]:
    lines: list[str] = []
    if mailing_list.list_id:
        title = (
            Header(mailing_list.title, "utf-8").encode()
            if not mailing_list.title.isascii()
            else mailing_list.title
        )
        lines.append(f"List-Id: {title} <{mailing_list.list_id}>")
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


def _body(mailing_list: MailingList, to: Addressee, paragraphs: list[str], footer: str) -> bytes:
    link = next((uri for uri in unsubscribe_uris(mailing_list, to) if uri.startswith("http")), "")
    plain = "\n\n".join([*paragraphs, "-- ", footer, link]).rstrip() + "\n"
    items = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    anchor = f' <a href="{html.escape(link)}">Unsubscribe</a>' if link else ""
    page = f"<html><body>{items}<hr><small>{html.escape(footer)}{anchor}</small></body></html>\n"
    boundary = f"=_{mailing_list.name}"
    parts = [_part(boundary, "plain", plain), _part(boundary, "html", page)]
    return b"\r\n" + b"".join(parts) + f"--{boundary}--\r\n".encode()


def _part(boundary: str, subtype: str, text: str) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    encoded = quopri.encodestring(text.encode()).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return head.encode() + encoded
