"""The ledger of attempts in PostgreSQL (ADR 0006)."""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.mail_core.adapters.tables import attempts, subscriptions, used_targets
from services.mail_core.domain.ids import AttemptId, MailboxId, OperationId, SubscriptionId, TeamId
from services.mail_core.domain.records import Attempt, Outcome, Subscription
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.domain.target import TargetUse
from services.mail_core.domain.unsubscribe_plan import Method
from services.mail_core.storage import NewestPosition

_ROWS_AT_ONCE = 5_000
"""PostgreSQL takes 65,535 parameters in a statement."""


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """Implements `storage.Ledger` within one transaction of one team."""

    connection: AsyncConnection
    team_id: TeamId

    async def claim(
        self, subscription: Subscription, operation_id: OperationId, method: Method, now: datetime
    ) -> AttemptId:
        """Write an attempt down before the network is touched."""
        claimed = Outcome(SubscriptionState.REQUESTED, "", "")
        attempt_id = await self._insert(subscription, operation_id, method, claimed, now)
        await self._set(subscription.id, claimed, asked_at=now)
        return attempt_id

    async def claimed_by(self, subscription_id: SubscriptionId) -> tuple[AttemptId, OperationId] | None:
        """Give the attempt that is claimed and not concluded, and the operation that claimed it."""
        query = sa.select(attempts.c.id, attempts.c.operation_id).where(
            attempts.c.subscription_id == subscription_id, attempts.c.state == SubscriptionState.REQUESTED
        )
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else (row.id, row.operation_id)

    async def conclude(
        self, attempt_id: AttemptId, subscription_id: SubscriptionId, outcome: Outcome, now: datetime
    ) -> bool:
        """Write down how a claimed attempt ended; False when it had been concluded already."""
        statement = (
            sa.update(attempts)
            .where(attempts.c.id == attempt_id, attempts.c.state == SubscriptionState.REQUESTED)
            .values(**_outcome_values(outcome), updated_at=now)
            .returning(attempts.c.id)
        )
        if (await self.connection.execute(statement)).one_or_none() is None:
            return False
        await self._set(subscription_id, outcome)
        return True

    async def decide(
        self,
        subscription: Subscription,
        operation_id: OperationId,
        method: Method,
        outcome: Outcome,
        now: datetime,
    ) -> None:
        """Write down an attempt that ended without touching the network."""
        await self._insert(subscription, operation_id, method, outcome, now)
        asked = {"asked_at": now} if outcome.state is SubscriptionState.SENT else {}
        await self._set(subscription.id, outcome, **asked)

    async def newest(self, mailbox_id: MailboxId, limit: int, after: NewestPosition | None) -> list[Attempt]:
        """List attempts, newest first."""
        query = (
            attempts.select()
            .where(attempts.c.mailbox_id == mailbox_id)
            .order_by(attempts.c.created_at.desc(), attempts.c.id)
        )
        if after is not None:
            at, row_id = attempts.c.created_at, attempts.c.id
            query = query.where((at < after.created_at) | ((at == after.created_at) & (row_id > after.id)))
        return [_attempt(row) for row in await self.connection.execute(query.limit(limit))]

    async def take_target(self, mailbox_id: MailboxId, target: str) -> bool:
        """Take a link or address for oneself; False when it was taken, by us or by an earlier system."""
        return await self.import_used(mailbox_id, [target], TargetUse.UNSUBSCRIBED) == 1

    async def release_target(self, mailbox_id: MailboxId, target: str) -> None:
        """Give a target back that was not reached, so that it can be tried again."""
        await self.connection.execute(
            sa.delete(used_targets).where(
                used_targets.c.mailbox_id == mailbox_id,
                used_targets.c.target_hash == _hash(target),
                used_targets.c.use == TargetUse.UNSUBSCRIBED,
            )
        )

    async def import_used(self, mailbox_id: MailboxId, targets: Collection[str], use: TargetUse) -> int:
        """Take over targets that an earlier system used; gives how many are new."""
        unique = list(dict.fromkeys(targets))
        parts = (unique[start : start + _ROWS_AT_ONCE] for start in range(0, len(unique), _ROWS_AT_ONCE))
        return sum([await self._use(mailbox_id, part, use) for part in parts])

    async def _use(self, mailbox_id: MailboxId, targets: Sequence[str], use: TargetUse) -> int:
        rows = [
            {"team_id": self.team_id, "mailbox_id": mailbox_id, "target_hash": _hash(target), "use": use}
            for target in targets
        ]
        statement = insert(used_targets).values(rows).on_conflict_do_nothing().returning(used_targets.c.use)
        return len((await self.connection.execute(statement)).all())

    async def _insert(
        self,
        subscription: Subscription,
        operation_id: OperationId,
        method: Method,
        outcome: Outcome,
        now: datetime,
    ) -> AttemptId:
        attempt_id = AttemptId(str(uuid.uuid4()))
        await self.connection.execute(
            sa.insert(attempts).values(
                id=attempt_id,
                team_id=self.team_id,
                mailbox_id=subscription.mailbox_id,
                subscription_id=subscription.id,
                operation_id=operation_id,
                method=method,
                created_at=now,
                updated_at=now,
                **_outcome_values(outcome),
            )
        )
        return attempt_id

    async def _set(self, subscription_id: SubscriptionId, outcome: Outcome, **more: object) -> None:
        values = {"state": outcome.state, "outcome_reason": outcome.reason, **more}
        await self.connection.execute(
            sa.update(subscriptions).where(subscriptions.c.id == subscription_id).values(**values)
        )


def _outcome_values(outcome: Outcome) -> dict[str, object]:
    return {
        "state": outcome.state,
        "reason": outcome.reason,
        "explanation": outcome.explanation,
        "http_status": outcome.http_status,
    }


def _hash(target: str) -> bytes:
    return hashlib.sha256(target.encode()).digest()


def _attempt(row: sa.Row) -> Attempt:
    return Attempt(
        id=row.id,
        subscription_id=row.subscription_id,
        operation_id=row.operation_id,
        state=SubscriptionState(row.state),
        method=Method(row.method),
        reason=row.reason,
        explanation=row.explanation,
        http_status=row.http_status,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
