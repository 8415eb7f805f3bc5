"""What the mail core keeps: mailboxes, subscriptions, attempts and operations, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.mail_core.domain.ids import (
    AttemptId,
    GmailMessageId,
    MailboxId,
    OperationId,
    SubscriptionId,
    TeamId,
)
from services.mail_core.domain.operation import (
    OperationError,
    OperationKind,
    OperationState,
    Progress,
    Report,
)
from services.mail_core.domain.subscription import SubscriptionKey, SubscriptionState
from services.mail_core.domain.unsubscribe_plan import Method, PlanReason, Way


class MailboxState(StrEnum):
    """Whether Google still accepts our grant."""

    ACTIVE = "active"
    GRANT_REVOKED = "grant_revoked"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A connected mailbox. `history_id` is the cursor of the newest finished scan."""

    id: MailboxId
    team_id: TeamId
    email_address: str
    state: MailboxState
    created_at: datetime
    grant_sealed: bytes = field(repr=False)
    history_id: str = ""
    last_scan_at: datetime | None = None
    message_count: int = 0
    subscription_count: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class SealedTarget:
    """What ending a subscription needs, sealed for this subscription alone; None when that is nothing."""

    subscription_id: SubscriptionId
    sealed: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One list or bulk sender of a mailbox. `asked_at` is when ending it was last asked for.

    `target_sealed` is what its plan needs (`operations/unsubscribe_targets.py`), None when that is nothing.
    """

    id: SubscriptionId
    mailbox_id: MailboxId
    key: SubscriptionKey
    display_name: str
    sender: str
    message_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    category_counts: Mapping[str, int]
    plan: Way
    target_sealed: bytes | None = field(repr=False)
    state: SubscriptionState = SubscriptionState.CANDIDATE
    asked_at: datetime | None = None
    outcome_reason: str = ""

    @property
    def category(self) -> str:
        """Category of most of its messages; the first by name among equals."""
        return min(
            self.category_counts, key=lambda name: (-self.category_counts[name], name), default="OTHER"
        )


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """What is kept of a message: neither its words nor who wrote it."""

    id: GmailMessageId
    received_at: datetime
    category: str
    key: SubscriptionKey | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: the state that it gives its subscription, and why."""

    state: SubscriptionState
    reason: str
    explanation: str
    http_status: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the ledger."""

    id: AttemptId
    subscription_id: SubscriptionId
    operation_id: OperationId
    state: SubscriptionState
    method: Method
    reason: str
    explanation: str
    http_status: int
    created_at: datetime
    updated_at: datetime


_NONE = Progress()


@dataclass(frozen=True, slots=True)
class Operation:
    """Something asked for that may take longer than a request."""

    id: OperationId
    team_id: TeamId
    mailbox_id: MailboxId
    kind: OperationKind
    state: OperationState
    request_id: str
    arguments: Mapping[str, Any]
    principal: str
    edge: str
    traceparent: str
    created_at: datetime
    updated_at: datetime
    progress: Progress = _NONE
    is_cancel_requested: bool = False
    result: Report | None = None
    error: OperationError | None = None
    roots: frozenset[str] = frozenset()
    """What the right of whoever asked hangs on, as `Caller.roots`."""
    right_issued_at: datetime | None = None
    """When the passport of whoever asked was issued: what was revoked later ends this. None: not known."""


def plan_to_json(plan: Way) -> dict[str, str]:
    """Give the stored form of a plan, without what it needs: that is sealed and kept elsewhere."""
    return {"method": plan.method, "reason": plan.reason, "explanation": plan.explanation}


def plan_from_json(stored: Mapping[str, Any]) -> Way:
    """Read the stored form of a plan."""
    return Way(Method(stored["method"]), PlanReason(stored["reason"]), stored["explanation"])
