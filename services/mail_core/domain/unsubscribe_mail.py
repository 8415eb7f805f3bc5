"""Composes the mail that ends a subscription by mailto. Pure: the same attempt makes the same mail."""

from collections.abc import Collection
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from services.mail_core.domain.addresses import domain_of, parse_addresses
from services.mail_core.domain.ids import AttemptId
from services.mail_core.domain.mailto import Mailto
from services.mail_core.domain.message import Headers

_GMAIL_DOMAINS = frozenset({"gmail.com", "googlemail.com"})


def compose(mailto: Mailto, sender: str, attempt_id: AttemptId, at: datetime) -> EmailMessage:
    """Compose the mail that a list's mailto asks for, from the address that the list writes to.

    Its Message-ID follows from the attempt, so that a mail whose sending is in doubt can be looked for.
    Raises ValueError when an address or the subject could break out of its header.
    """
    mail = EmailMessage()
    mail["From"] = Address(addr_spec=sender)
    mail["To"] = Address(addr_spec=mailto.recipient)
    mail["Subject"] = mailto.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id(sender, attempt_id)
    # RFC 3834 §5: keeps vacation responders from answering what no person wrote.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(mailto.body)
    return mail


def message_id(sender: str, attempt_id: AttemptId) -> str:
    """Give the Message-ID of an attempt's mail."""
    return f"<unsubscribe.{attempt_id}@{domain_of(sender)}>"


def alias_for(headers: Headers, owner: str, own_addresses: Collection[str] = ()) -> str:
    """Give the owner's address that a list writes to: what the list knows, and what it can unsubscribe.

    `own_addresses` are further ones that the owner is known to have. A header alone proves nothing, so
    an address counts only when it is the owner's, as Gmail compares: dots and `+tag` set aside.
    """
    own = {_bare(address) for address in (owner, *own_addresses)}
    named = [
        address.email
        for name in ("To", "Delivered-To")
        for field in headers.get_all(name)
        for address in parse_addresses(field)
    ]
    return next((address for address in named if _bare(address) in own), owner)


def _bare(address: str) -> str:
    local, _, _ = address.rpartition("@")
    local, domain = local.lower().partition("+")[0], domain_of(address)
    if domain in _GMAIL_DOMAINS:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"
