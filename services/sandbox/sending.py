"""users.messages.send: what Gmail does with an outgoing message, and its delivery to the senders' robots."""

import re
from email.utils import format_datetime, getaddresses, make_msgid

from services.sandbox import rfc822
from services.sandbox.errors import invalid
from services.sandbox.mailbox import Mailbox, Message
from services.sandbox.world import World

_FROM_FIELD = re.compile(rb"^from[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)
_RECIPIENTS = ("to", "cc", "bcc")


def send_message(world: World, raw: bytes, thread_id: str | None) -> Message:
    """Store a message in SENT and deliver it.

    Raises:
        ApiError: 400, there is no recipient, or an address is malformed.

    """
    mailbox = world.mailbox
    recipients = _recipients(raw)
    outgoing = _completed(world, raw)
    labels = {"SENT"}
    if any(address in mailbox.own_addresses for address in recipients):
        labels |= {"INBOX", "UNREAD"}
    known_thread = thread_id if thread_id and mailbox.thread(thread_id) else None
    message = mailbox.add(outgoing, labels, world.clock.now(), known_thread)
    for address in recipients:
        world.senders.receive_mail(message, address)
    return message


def _recipients(raw: bytes) -> list[str]:
    headers = rfc822.parse_headers(raw)
    values = [header.value for header in headers if header.name.lower() in _RECIPIENTS]
    addresses = [address.lower() for _, address in getaddresses(values) if address]
    if not addresses:
        raise invalid("Recipient address required")
    for address in addresses:
        local, _, domain = address.rpartition("@")
        if not local or not domain or any(mark in address for mark in " \r\n<>,"):
            raise invalid("Invalid To header")
    return list(dict.fromkeys(addresses))


def _completed(world: World, raw: bytes) -> bytes:
    """Gmail writes From where the sender may not use the one given, and adds Date and Message-ID."""
    headers = rfc822.parse_headers(raw)
    head: list[str] = []
    sender = [address.lower() for _, address in getaddresses([rfc822.first(headers, "from")])]
    if not rfc822.first(headers, "date"):
        head.append(f"Date: {format_datetime(world.clock.now())}")
    if not rfc822.first(headers, "message-id"):
        head.append(f"Message-ID: {make_msgid(domain='mail.gmail.com')}")
    if sender[:1] and sender[0] in world.mailbox.own_addresses:
        return _with(head, raw)
    return _with([_own_from(world.mailbox), *head], _without_from(raw))


def _own_from(mailbox: Mailbox) -> str:
    return f"From: {mailbox.display_name} <{mailbox.address}>"


def _with(lines: list[str], raw: bytes) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode() + raw


def _without_from(raw: bytes) -> bytes:
    """Take the From field out and leave every other byte alone."""
    end = re.search(rb"\r?\n\r?\n|\Z", raw)
    head = raw[: end.start() if end else None]
    return _FROM_FIELD.sub(b"", head + b"\n").removesuffix(b"\n") + raw[len(head) :]
