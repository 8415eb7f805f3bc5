"""What a subscription is, what keys it, and how far ending it has come."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.mail_core.domain.addresses import MAX_NAME, Address
from services.mail_core.domain.bulk import is_bulk, is_discussion, list_address
from services.mail_core.domain.list_unsubscribe import list_id
from services.mail_core.domain.message import Message

# Gmail and Yahoo give bulk senders two days to act on a request.
GRACE = timedelta(hours=48)
# Phrases such as Mailchimp's "f4fa1b2c3dmc list" name nothing to a person.
_MADE_UP = re.compile(r"[0-9a-f]{10,}|\d{6,}")
_TOKEN_LENGTH = 16
_TOKEN_DIGITS = 5


class KeyKind(StrEnum):
    """What keys a subscription; the words of the contract in lower case."""

    LIST_ID = "list_id"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class SubscriptionKey:
    """The identity of a subscription within a mailbox; `key` is lower case."""

    kind: KeyKind
    key: str


class SubscriptionState(StrEnum):
    """How far ending a subscription has come; the words of the contract in lower case."""

    CANDIDATE = "candidate"
    REQUESTED = "requested"
    SENT = "sent"
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    IGNORED = "ignored"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NEEDS_PERSON = "needs_person"


_S = SubscriptionState

# What a request may lead to. Straight to `sent` when an agent that came before us had already asked.
_ASKABLE = frozenset({_S.REQUESTED, _S.SENT, _S.REFUSED, _S.NEEDS_PERSON})

# From each state, where it may go. Nothing leads back to `candidate`: what happened stays on record.
TRANSITIONS: dict[SubscriptionState, frozenset[SubscriptionState]] = {
    _S.CANDIDATE: _ASKABLE,
    _S.REQUESTED: frozenset({_S.SENT, _S.ACCEPTED, _S.FAILED, _S.UNKNOWN, _S.REFUSED}),
    _S.SENT: frozenset({_S.VERIFIED, _S.IGNORED}),
    _S.ACCEPTED: frozenset({_S.VERIFIED, _S.IGNORED}),
    _S.VERIFIED: frozenset({_S.IGNORED}),
    _S.IGNORED: frozenset(),
    # A newer message may offer a way that is safe, or a better one.
    _S.REFUSED: _ASKABLE,
    _S.NEEDS_PERSON: _ASKABLE,
    # Only when nothing had reached the sender (see `is_settled`).
    _S.FAILED: _ASKABLE,
    _S.UNKNOWN: frozenset({_S.IGNORED}),
}

_ASKED = frozenset({_S.SENT, _S.ACCEPTED})
_SETTLED = frozenset({_S.REQUESTED, _S.SENT, _S.ACCEPTED, _S.VERIFIED, _S.IGNORED, _S.UNKNOWN})
# Failures in which nothing reached the sender, so that trying again cannot act twice.
RETRYABLE_FAILURES = frozenset({"NOT_REACHED", "MAIL_NOT_SENT"})


def may_become(state: SubscriptionState, following: SubscriptionState) -> bool:
    """Say whether a subscription may go from one state to another."""
    return following in TRANSITIONS[state]


def is_settled(state: SubscriptionState, outcome_reason: str = "") -> bool:
    """Say whether a new request must do nothing, because an earlier one was made and may have acted.

    Settled: requested, sent, accepted, verified; unknown (it may have acted); ignored (the sender had its
    request, a filter is the better answer); failed, once the sender was reached. Not settled: candidate;
    refused and needs_person, where nothing was sent and a newer message may offer a better way; failed
    for a reason in RETRYABLE_FAILURES.
    """
    if state is SubscriptionState.FAILED:
        return outcome_reason not in RETRYABLE_FAILURES
    return state in _SETTLED


def settle(
    state: SubscriptionState, asked_at: datetime, last_seen_at: datetime | None, now: datetime
) -> SubscriptionState:
    """Judge a request by the sender's silence.

    Mail that arrives more than 48 h after `asked_at` means ignored, also long after it was verified.
    Verified takes 48 h of silence, counted anew from mail within the 48 h that the sender is given.
    `asked_at` is when the request was accepted or sent; `last_seen_at` when the newest message arrived.
    """
    newest = max(asked_at, last_seen_at or asked_at)
    if newest > asked_at + GRACE and may_become(state, SubscriptionState.IGNORED):
        return SubscriptionState.IGNORED
    if state in _ASKED and now >= newest + GRACE:
        return SubscriptionState.VERIFIED
    return state


def subscription_key(message: Message) -> SubscriptionKey | None:
    """Key a message by its List-Id, else by its sender; None when it was not sent to many.

    For a list without List-Id the sender is the list's own address where its software left one, so that
    a discussion is one subscription and not one for each writer.
    """
    if not is_bulk(message):
        return None
    identified = list_id(message.headers.get("List-Id"))
    if identified is not None:
        return SubscriptionKey(KeyKind.LIST_ID, identified.id)
    address = list_address(message)
    if address is not None:
        return SubscriptionKey(KeyKind.SENDER, address)
    sender = message.sender
    return None if sender is None else SubscriptionKey(KeyKind.SENDER, sender_key(sender))


def sender_key(sender: Address) -> str:
    """Give the part of a sender that stays the same from one message to the next.

    Tags after `+` go. Where the local part is made anew for each message (`a#3.19578.34-UgGT@host`), the
    domain stays, with the name that tells its newsletters apart.
    """
    local = sender.email.rpartition("@")[0].lower().partition("+")[0]
    if not _is_token(local):
        return f"{local}@{sender.domain}"
    name = sender.name.lower()
    return f"{name} <*@{sender.domain}>" if name else f"*@{sender.domain}"


def display_name(message: Message) -> str:
    """Name a subscription for people; at most 200 characters, untrusted.

    The list's own phrase, unless software made it up; else the sender's name, unless many write to the
    list; else an address or the List-Id.
    """
    identified = list_id(message.headers.get("List-Id"))
    if identified is not None and identified.phrase and not _MADE_UP.search(identified.phrase.lower()):
        return identified.phrase
    sender = message.sender
    if sender is not None and sender.name and not is_discussion(message):
        return sender.name
    named = identified.id if identified else list_address(message) or (sender.email if sender else "")
    return named[:MAX_NAME]


def _is_token(local: str) -> bool:
    return len(local) >= _TOKEN_LENGTH and len(re.findall(r"\d", local)) >= _TOKEN_DIGITS
