"""What the mail core keeps, as its operations see it: everything of one team, one transaction at a time."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.common.audit import AuditEvent
from services.mail_core.domain.findings import Finding
from services.mail_core.domain.ids import (
    AttemptId,
    GmailMessageId,
    MailboxId,
    OperationId,
    SubscriptionId,
    TeamId,
)
from services.mail_core.domain.operation import OperationError, OperationState, Progress, Report
from services.mail_core.domain.records import (
    Attempt,
    Mailbox,
    MailboxState,
    Operation,
    Outcome,
    SealedTarget,
    SeenMessage,
    Subscription,
)
from services.mail_core.domain.subscription import SubscriptionKey, SubscriptionState
from services.mail_core.domain.target import TargetUse
from services.mail_core.domain.unsubscribe_plan import Method


@dataclass(frozen=True, slots=True)
class RankedPosition:
    """The last row of a page of subscriptions."""

    message_count: int
    id: SubscriptionId


@dataclass(frozen=True, slots=True)
class NewestPosition:
    """The last row of a page of attempts."""

    created_at: datetime
    id: AttemptId


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """The mailbox that an account has or is to have. A label of None changes none."""

    id: MailboxId
    email_address: str
    label: str | None = None


class Mailboxes(Protocol):
    """The team's mailboxes."""

    async def list(self, limit: int, after: MailboxId | None = None) -> list[Mailbox]:
        """List them by id, beginning behind `after`."""
        ...

    async def find(self, mailbox_id: MailboxId) -> Mailbox | None:
        """Give one, or None."""
        ...

    async def of_account(self, email_address: str) -> Mailbox | None:
        """Give an account's, or None. Others of the team that ask this wait until the transaction ends."""
        ...

    async def connect(
        self, account: ConnectedAccount, grant_sealed: bytes, max_mailboxes: int | None = None
    ) -> Mailbox:
        """Keep a grant, for the mailbox that `of_account` gave or for a new one.

        Raises AppError RESOURCE_EXHAUSTED MAILBOX_QUOTA when one more than `max_mailboxes` would be needed.
        """
        ...

    async def set_label(self, mailbox_id: MailboxId, label: str) -> None:
        """Say what it is for."""
        ...

    async def set_state(self, mailbox_id: MailboxId, state: MailboxState) -> None:
        """Note whether Google still accepts the grant."""
        ...

    async def finish_scan(self, mailbox_id: MailboxId, history_id: str, at: datetime) -> None:
        """Move the cursor: everything before it has been read."""
        ...


class Subscriptions(Protocol):
    """The subscriptions of the team's mailboxes, and the messages that they were found by."""

    async def unread_ids(self, mailbox_id: MailboxId, ids: Sequence[GmailMessageId]) -> list[GmailMessageId]:
        """Keep, in order, the ids of messages that no scan has read."""
        ...

    async def identify(
        self, mailbox_id: MailboxId, keys: Sequence[SubscriptionKey]
    ) -> dict[SubscriptionKey, SubscriptionId]:
        """Give the id that each list has or is to have; nobody adds one until the transaction ends."""
        ...

    async def record(
        self,
        mailbox_id: MailboxId,
        seen: Sequence[SeenMessage],
        found: Sequence[Finding],
        targets: Mapping[SubscriptionKey, SealedTarget],
    ) -> None:
        """Keep messages that `unread_ids` gave, and what they say about their lists.

        `targets` has, for each list found, what ending it needs, sealed for the id that `identify` gave.
        """
        ...

    async def ranked(
        self,
        mailbox_id: MailboxId,
        states: Collection[SubscriptionState],
        limit: int,
        after: RankedPosition | None,
    ) -> list[Subscription]:
        """List those with most messages first."""
        ...

    async def count(self, mailbox_id: MailboxId, states: Collection[SubscriptionState]) -> int:
        """Count those in any of these states; of all states when none is named."""
        ...

    async def find(self, mailbox_id: MailboxId, ids: Collection[SubscriptionId]) -> list[Subscription]:
        """Give those that exist, in no order."""
        ...

    async def lock(self, subscription_id: SubscriptionId) -> Subscription | None:
        """Give one and keep everybody else from changing it until the transaction ends."""
        ...

    async def awaiting_silence(self, mailbox_id: MailboxId) -> list[Subscription]:
        """Give those that were asked to end and may yet be verified or ignored."""
        ...

    async def settle(
        self, subscription_id: SubscriptionId, former: SubscriptionState, state: SubscriptionState
    ) -> None:
        """Note what silence or new mail said about a request, unless its state is another one meanwhile."""
        ...


class Ledger(Protocol):
    """The attempts to end subscriptions (ADR 0006)."""

    async def claim(
        self, subscription: Subscription, operation_id: OperationId, method: Method, now: datetime
    ) -> AttemptId:
        """Write an attempt down before the network is touched."""
        ...

    async def claimed_by(self, subscription_id: SubscriptionId) -> tuple[AttemptId, OperationId] | None:
        """Give the attempt that is claimed and not concluded, and the operation that claimed it."""
        ...

    async def conclude(
        self, attempt_id: AttemptId, subscription_id: SubscriptionId, outcome: Outcome, now: datetime
    ) -> bool:
        """Write down how a claimed attempt ended; False when it had been concluded already."""
        ...

    async def decide(
        self,
        subscription: Subscription,
        operation_id: OperationId,
        method: Method,
        outcome: Outcome,
        now: datetime,
    ) -> None:
        """Write down an attempt that ended without touching the network."""
        ...

    async def newest(self, mailbox_id: MailboxId, limit: int, after: NewestPosition | None) -> list[Attempt]:
        """List attempts, newest first."""
        ...

    async def take_target(self, mailbox_id: MailboxId, target: str) -> bool:
        """Take a link or address for oneself; False when it was taken, by us or by an earlier system."""
        ...

    async def release_target(self, mailbox_id: MailboxId, target: str) -> None:
        """Give a target back that was not reached, so that it can be tried again."""
        ...

    async def import_used(self, mailbox_id: MailboxId, targets: Collection[str], use: TargetUse) -> int:
        """Take over targets that an earlier system used; gives how many are new."""
        ...


class Operations(Protocol):
    """The team's operations. Every change is announced to watchers when the transaction commits."""

    async def create(self, operation: Operation) -> Operation:
        """Keep a new operation and queue its work; gives the one that has this request id already."""
        ...

    async def find(self, operation_id: OperationId) -> Operation | None:
        """Give one, or None."""
        ...

    async def find_by_request_id(self, request_id: str) -> Operation | None:
        """Give the one that was asked for with this request id, or None."""
        ...

    async def start(self, operation_id: OperationId) -> Operation | None:
        """Set it to running; None when it is final already."""
        ...

    async def requeue(self, operation_id: OperationId) -> None:
        """Set a running one back to queued, or to cancelled when somebody asked for that."""
        ...

    async def report_progress(self, operation_id: OperationId, progress: Progress) -> bool:
        """Keep progress; says whether somebody asked to cancel."""
        ...

    async def finish(
        self,
        operation_id: OperationId,
        state: OperationState,
        result: Report | None,
        error: OperationError | None = None,
    ) -> None:
        """Set it to a final state."""
        ...

    async def request_cancel(self, operation_id: OperationId) -> None:
        """Cancel a queued one at once, ask a running one to stop."""
        ...

    async def note_label_change(
        self,
        operation: Operation,
        ids: Sequence[GmailMessageId],
        add: Collection[str],
        remove: Collection[str],
    ) -> str:
        """Write a change of labels down before Gmail is asked for it; gives its id."""
        ...

    async def confirm_label_change(self, change_id: str) -> None:
        """Note that Gmail made the change."""
        ...


class AuditNotes(Protocol):
    """What the log will say about this transaction, once it has committed."""

    def note(self, event: AuditEvent) -> None:
        """Record an event with this transaction."""
        ...


class Records(Protocol):
    """Everything of one team within one transaction."""

    @property
    def mailboxes(self) -> Mailboxes:
        """The team's mailboxes."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """Its subscriptions."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Its attempts."""
        ...

    @property
    def operations(self) -> Operations:
        """Its operations."""
        ...

    @property
    def audit(self) -> AuditNotes:
        """What is recorded with this transaction."""
        ...


class Store(Protocol):
    """Opens transactions. Raises AppError UNAVAILABLE DATABASE_DOWN."""

    def team(self, team_id: TeamId) -> AbstractAsyncContextManager[Records]:
        """Open a transaction that sees one team and commits at its end."""
        ...


class OperationChanges(Protocol):
    """Tells when operations change, in whichever process."""

    def watch(self, operation_id: OperationId) -> AbstractContextManager[AsyncIterator[None]]:
        """Tick once at least after every change from now on, and now and then without one."""
        ...


class Clock(Protocol):
    """The time of day."""

    def __call__(self) -> datetime:
        """Give now, aware, UTC."""
        ...
