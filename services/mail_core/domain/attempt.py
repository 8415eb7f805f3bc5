"""What the answer to a one-click request means: a redirect is no success, a lost answer no failure."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from services.mail_core.domain.subscription import SubscriptionState


class AttemptReason(StrEnum):
    """Why an attempt ended as it did. Stable words: they are stored and shown."""

    ACCEPTED = "ACCEPTED"
    MAIL_SENT = "MAIL_SENT"
    REDIRECT = "REDIRECT"
    REJECTED = "REJECTED"
    SENDER_ERROR = "SENDER_ERROR"
    NOT_REACHED = "NOT_REACHED"
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    ANSWER_LOST = "ANSWER_LOST"
    MAIL_NOT_SENT = "MAIL_NOT_SENT"
    INTERRUPTED = "INTERRUPTED"


EXPLANATIONS: dict[AttemptReason, str] = {
    AttemptReason.ACCEPTED: "The sender's host accepted; its silence over 48 hours will prove it.",
    AttemptReason.MAIL_SENT: "The unsubscribe mail went out; silence over 48 hours will prove it.",
    AttemptReason.REDIRECT: "The sender's host redirected the request, which one-click forbids.",
    AttemptReason.REJECTED: "The sender's host rejected the request.",
    AttemptReason.SENDER_ERROR: "The sender's host failed at the request, which is not repeated blindly.",
    AttemptReason.NOT_REACHED: "The sender's host was not reached; it may be tried again.",
    AttemptReason.ADDRESS_REFUSED: "The link leads to an address that is not safe to contact.",
    AttemptReason.ANSWER_LOST: "The request went out and its answer was lost; it is not repeated blindly.",
    AttemptReason.MAIL_NOT_SENT: "Gmail did not take the unsubscribe mail; it may be tried again.",
    AttemptReason.INTERRUPTED: "The work stopped after the claim; the request may be out.",
}


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """State that an attempt gives its subscription, and why; `http_status` is 0 without an answer."""

    state: SubscriptionState
    reason: AttemptReason
    http_status: int = 0

    @property
    def explanation(self) -> str:
        """The reason for people: one sentence."""
        return EXPLANATIONS[self.reason]


def one_click_answered(status: int) -> AttemptOutcome:
    """Judge the status of an answer: 2xx alone is acceptance (RFC 8058 section 3.1)."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return AttemptOutcome(SubscriptionState.ACCEPTED, AttemptReason.ACCEPTED, status)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return AttemptOutcome(SubscriptionState.FAILED, AttemptReason.REDIRECT, status)
    is_rejected = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    reason = AttemptReason.REJECTED if is_rejected else AttemptReason.SENDER_ERROR
    return AttemptOutcome(SubscriptionState.FAILED, reason, status)


def one_click_not_reached() -> AttemptOutcome:
    """Judge a connection that failed before anything was sent: it may be tried again later."""
    return AttemptOutcome(SubscriptionState.FAILED, AttemptReason.NOT_REACHED)


def one_click_address_refused() -> AttemptOutcome:
    """Judge a name that resolved to an address which may not be contacted."""
    return AttemptOutcome(SubscriptionState.REFUSED, AttemptReason.ADDRESS_REFUSED)


def one_click_answer_lost() -> AttemptOutcome:
    """Judge a request whose answer never came whole: it may have acted."""
    return AttemptOutcome(SubscriptionState.UNKNOWN, AttemptReason.ANSWER_LOST)


def interrupted() -> AttemptOutcome:
    """Judge a claim that a crash left behind: nobody can tell whether the request went out."""
    return AttemptOutcome(SubscriptionState.UNKNOWN, AttemptReason.INTERRUPTED)


def mail_sent() -> AttemptOutcome:
    """Judge an unsubscribe mail that Gmail took."""
    return AttemptOutcome(SubscriptionState.SENT, AttemptReason.MAIL_SENT)


def mail_not_sent() -> AttemptOutcome:
    """Judge an unsubscribe mail that Gmail refused."""
    return AttemptOutcome(SubscriptionState.FAILED, AttemptReason.MAIL_NOT_SENT)
