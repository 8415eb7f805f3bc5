"""What in a message's headers says that it was sent to many, and that many may answer it."""

import re

from services.mail_core.domain.list_unsubscribe import list_id, parse_uris, scheme_of
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
_PERSONAL_AUTO_REPLY = "auto-replied"
_ADDRESS = re.compile(r"[^\s<>;,:]+@[^\s<>;,:]+")


def is_bulk(message: Message) -> bool:
    """Say whether a message was sent to many: list headers, then bulk marks, then how the sender is named.

    Personal and transactional mail has none of these. An automatic reply is not bulk, although it often
    says `Precedence: bulk` to keep other robots quiet.
    """
    headers = message.headers
    if any(name in headers for name in _LIST_HEADERS):
        return True
    if (headers.get("Auto-Submitted") or "").strip().lower().startswith(_PERSONAL_AUTO_REPLY):
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
    if _ANNOUNCEMENT.search(list_address(message) or _list_id(message)):
        return False
    headers = message.headers
    if "List-Post" in headers:
        return "mailto" in map(scheme_of, parse_uris(headers.get("List-Post") or ""))
    return any(name in headers for name in ("Mailing-List", "X-Mailing-List", "X-BeenThere")) or (
        "List-Id" in headers and "In-Reply-To" in headers
    )


def list_address(message: Message) -> str | None:
    """Give the address that a list posts under, lower case, for lists that have no List-Id."""
    headers = message.headers
    for name in ("X-BeenThere", "Mailing-List", "X-Mailing-List"):
        found = _ADDRESS.search(headers.get(name) or "")
        # Announcers that run ezmlm name the contact alone: that is a person, not a list.
        if found and "contact" not in (headers.get(name) or "")[: found.start()]:
            return found[0].lower()
    return _post_address(headers.get("List-Post") or "")


def _post_address(field: str) -> str | None:
    posts = (uri[7:].partition("?")[0].lower() for uri in parse_uris(field) if scheme_of(uri) == "mailto")
    return next((address for address in posts if _ADDRESS.fullmatch(address)), None)


def _list_id(message: Message) -> str:
    parsed = list_id(message.headers.get("List-Id"))
    return parsed.id if parsed else ""


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
    local = sender.email.rpartition("@")[0].lower()
    words = re.split(r"[._+-]", local) + sender.domain.split(".")[:-2]
    return not _BULK_WORDS.isdisjoint(words)
