"""What in a message's headers says that it was sent to many, and that many may answer it."""

import re

from services.mail_core.domain.addresses import MAX_ADDRESS, domain_of, is_within, parse_address, printable
from services.mail_core.domain.list_unsubscribe import parse_uris, scheme_of
from services.mail_core.domain.message import Message

# Only list software writes these.
_LIST_HEADERS = (
    "List-Id",
    "List-Unsubscribe",
    "List-Post",
    "List-Help",
    "List-Subscribe",
    "List-Owner",
    "List-Archive",
    "Mailing-List",
    "X-Mailing-List",
    "X-BeenThere",
    "X-Mailman-Version",
    "X-List-Name",
    "X-BulkMail",
)
_BULK_PRECEDENCES = frozenset({"bulk", "list", "junk"})
_BULK_LABELS = frozenset({"CATEGORY_PROMOTIONS", "CATEGORY_FORUMS"})
# Mail services stamp these on everything that they carry, receipts and security codes too.
_STAMPED_FEEDBACK_ID = re.compile(r":(?:amazonses|sg|mailgun|postmark|pm)\s*$", re.IGNORECASE)
# How addresses and hosts of newsletters are named when no header tells (much mail before 2005).
_BULK_WORDS = frozenset(
    re.findall(
        r"\w+",
        """announce announcements bulletin campaign campaigns digest emailing infolettre lettre list lists
        listserv mailing mailinglist mailings marketing newsletter newsletters offers offres promo promos
        promotions subscriptions""",
    )
)
_ANNOUNCEMENT = re.compile(r"announce|annonce|newsletter|digest")
_NEWSLETTER_NAME = re.compile(r"\b(?:newsletters?|infolettre|mailing list)\b")
_NAMING_HEADERS = ("X-BeenThere", "Mailing-List", "X-Mailing-List")
_MANAGER = re.compile(
    r"(?:(?:owner|subscribe|join)-([^@\s]+)|([^@\s]+)-(?:owner|admin|bounces?|request|subscribe|join))(@[^@\s]+)"
)
_ADDRESS = re.compile(r"(?<![^\s<>;,:])[^\s<>;,:]+@[^\s<>;,:]+")


def is_bulk(message: Message) -> bool:
    """Say whether a message was sent to many: list headers, then bulk marks, then how the sender is named.

    Personal and transactional mail has none of these. An automatic reply is not bulk, although it often
    says `Precedence: bulk` to keep other robots quiet.
    """
    headers = message.headers
    if any(name in headers for name in _LIST_HEADERS):
        return True
    if (headers.get("Auto-Submitted") or "").strip().lower().startswith("auto-replied"):
        return False
    return (
        (headers.get("Precedence") or "").strip().lower() in _BULK_PRECEDENCES
        or not _BULK_LABELS.isdisjoint(message.label_ids)
        or _has_feedback_id(message)
        or _is_named_like_a_newsletter(message)
    )


def is_discussion(message: Message) -> bool:
    """Say whether subscribers write to each other: a list that anyone on it may post to.

    List-Post must hold an address: `NO` means closed, and newsletters put the page of the issue there.
    Lists that only announce are no discussion, whatever software runs them.
    """
    headers = message.headers
    if _ANNOUNCEMENT.search(f"{headers.get('List-Id') or ''} {list_address(message) or ''}".lower()):
        return False
    if "List-Post" in headers:
        return _post_address(headers.get("List-Post") or "") is not None
    if any(name in headers for name in ("Mailing-List", "X-Mailing-List", "X-BeenThere")):
        return True
    return ("List-Id" in headers and "In-Reply-To" in headers) or _is_relayed(message)


def list_address(message: Message) -> str | None:
    """Give the address that stands for a list, lower case, where list software left one.

    For lists without List-Id: who posts to a discussion changes with each message, and one publisher may
    send several newsletters from one address.
    """
    headers = message.headers
    found = (
        next((found for name in _NAMING_HEADERS if (found := _named(headers.get(name) or ""))), None)
        or _post_address(headers.get("List-Post") or "")
        or _managed_address(message)
    )
    # It becomes a key, and a key has to fit an index.
    is_address = found is not None and len(found) <= MAX_ADDRESS and printable(found) == found
    return found if is_address else None


def _named(field: str) -> str | None:
    """Read the list's address; ezmlm names a contact alone, which is no list."""
    found = _ADDRESS.search(field)
    return found[0].lower() if found and "contact" not in field[: found.start()] else None


def _post_address(field: str) -> str | None:
    return next((address for address in _mailto_addresses(field) if _ADDRESS.fullmatch(address)), None)


def _mailto_addresses(field: str) -> list[str]:
    return [uri[7:].partition("?")[0].lower() for uri in parse_uris(field) if scheme_of(uri) == "mailto"]


def _managed_address(message: Message) -> str | None:
    """Derive the list from the address of its manager, as Majordomo, Lyris and others name them."""
    sender = parse_address(message.headers.get("Sender") or "")
    addresses = [sender.email.lower()] if sender else []
    for name in ("List-Owner", "List-Subscribe"):
        addresses += _mailto_addresses(message.headers.get(name) or "")
    managed = (_MANAGER.fullmatch(address) for address in addresses)
    return next(((found[1] or found[2]) + found[3] for found in managed if found), None)


def _is_relayed(message: Message) -> bool:
    """Say whether a list passed on what someone from elsewhere wrote."""
    listed, sender = _managed_address(message), message.sender
    if listed is None or sender is None:
        return False
    home = ".".join(domain_of(listed).split(".")[-2:])
    return not is_within(sender.domain, home)


def _has_feedback_id(message: Message) -> bool:
    """Find Gmail's bulk mark; it says nothing when a service stamps it, or when Gmail files an update."""
    feedback_id = message.headers.get("Feedback-ID")
    return (
        feedback_id is not None
        and "CATEGORY_UPDATES" not in message.label_ids
        and not _STAMPED_FEEDBACK_ID.search(feedback_id)
    )


def _is_named_like_a_newsletter(message: Message) -> bool:
    sender = message.sender
    if sender is None:
        return False
    words = re.split(r"[._+-]", sender.email.rpartition("@")[0].lower()) + sender.domain.split(".")[:-2]
    return not _BULK_WORDS.isdisjoint(words) or _NEWSLETTER_NAME.search(sender.name.lower()) is not None
