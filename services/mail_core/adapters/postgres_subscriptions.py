"""The subscriptions of the team's mailboxes in PostgreSQL, and the messages they were found by."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.mail_core.adapters.tables import mailboxes, messages, subscriptions
from services.mail_core.domain.findings import Finding
from services.mail_core.domain.ids import GmailMessageId, MailboxId, SubscriptionId, TeamId
from services.mail_core.domain.records import (
    SealedTarget,
    SeenMessage,
    Subscription,
    plan_from_json,
    plan_to_json,
)
from services.mail_core.domain.subscription import KeyKind, SubscriptionKey, SubscriptionState
from services.mail_core.storage import RankedPosition

_AWAITING = (
    SubscriptionState.SENT,
    SubscriptionState.ACCEPTED,
    SubscriptionState.VERIFIED,
    SubscriptionState.UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class PostgresSubscriptions:
    """Implements `storage.Subscriptions` within one transaction of one team."""

    connection: AsyncConnection
    team_id: TeamId

    async def unread_ids(self, mailbox_id: MailboxId, ids: Sequence[GmailMessageId]) -> list[GmailMessageId]:
        """Keep, in order, the ids of messages that no scan has read."""
        query = sa.select(messages.c.gmail_id).where(
            messages.c.mailbox_id == mailbox_id, messages.c.gmail_id == sa.any_(sa.literal(list(ids), _TEXTS))
        )
        known = set(await self.connection.scalars(query))
        return [gmail_id for gmail_id in ids if gmail_id not in known]

    async def identify(
        self, mailbox_id: MailboxId, keys: Sequence[SubscriptionKey]
    ) -> dict[SubscriptionKey, SubscriptionId]:
        """Give the id that each list has or is to have; nobody adds one until the transaction ends."""
        known = await self._by_key(mailbox_id, keys)
        return {key: known[key].id if key in known else _new_id() for key in keys}

    async def record(
        self,
        mailbox_id: MailboxId,
        seen: Sequence[SeenMessage],
        found: Sequence[Finding],
        targets: Mapping[SubscriptionKey, SealedTarget],
    ) -> None:
        """Keep messages that `unread_ids` gave, and what they say about their lists."""
        known = await self._by_key(mailbox_id, [finding.key for finding in found])
        merged = {
            finding.key: _merged(mailbox_id, finding, known.get(finding.key), targets[finding.key])
            for finding in found
        }
        if merged:
            await self._save(list(merged.values()))
        if seen:
            ids = {key: subscription.id for key, subscription in merged.items()}
            await self._save_messages(mailbox_id, seen, ids)
        await self._count(mailbox_id, len(seen), len(merged.keys() - known.keys()))

    async def ranked(
        self,
        mailbox_id: MailboxId,
        states: Collection[SubscriptionState],
        limit: int,
        after: RankedPosition | None,
    ) -> list[Subscription]:
        """List those with most messages first."""
        query = self._of(mailbox_id, states).order_by(
            subscriptions.c.message_count.desc(), subscriptions.c.id
        )
        if after is not None:
            count, row_id = subscriptions.c.message_count, subscriptions.c.id
            query = query.where(
                (count < after.message_count) | ((count == after.message_count) & (row_id > after.id))
            )
        return [_subscription(row) for row in await self.connection.execute(query.limit(limit))]

    async def count(self, mailbox_id: MailboxId, states: Collection[SubscriptionState]) -> int:
        """Count those in any of these states; of all states when none is named."""
        query = self._of(mailbox_id, states).with_only_columns(sa.func.count())
        return (await self.connection.execute(query)).scalar_one()

    async def find(self, mailbox_id: MailboxId, ids: Collection[SubscriptionId]) -> list[Subscription]:
        """Give those that exist, in no order."""
        query = self._of(mailbox_id, ()).where(subscriptions.c.id.in_(ids))
        return [_subscription(row) for row in await self.connection.execute(query)]

    async def lock(self, subscription_id: SubscriptionId) -> Subscription | None:
        """Give one and keep everybody else from changing it until the transaction ends."""
        query = subscriptions.select().where(subscriptions.c.id == subscription_id).with_for_update()
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else _subscription(row)

    async def awaiting_silence(self, mailbox_id: MailboxId) -> list[Subscription]:
        """Give those that were asked to end and may yet be verified or ignored."""
        return [_subscription(row) for row in await self.connection.execute(self._of(mailbox_id, _AWAITING))]

    async def settle(
        self, subscription_id: SubscriptionId, former: SubscriptionState, state: SubscriptionState
    ) -> None:
        """Note what silence or new mail said about a request, unless its state is another one meanwhile."""
        await self.connection.execute(
            sa.update(subscriptions)
            .where(subscriptions.c.id == subscription_id, subscriptions.c.state == former)
            .values(state=state)
        )

    def _of(self, mailbox_id: MailboxId, states: Collection[SubscriptionState]) -> sa.Select:
        query = subscriptions.select().where(subscriptions.c.mailbox_id == mailbox_id)
        return query.where(subscriptions.c.state.in_(states)) if states else query

    async def _by_key(
        self, mailbox_id: MailboxId, keys: Sequence[SubscriptionKey]
    ) -> dict[SubscriptionKey, Subscription]:
        # One writer at a time per mailbox: counts are read, added to, and written back. Rows that only
        # refer to the mailbox may still be added, or a claim and a scan would wait for each other.
        await self.connection.execute(
            sa.select(mailboxes.c.id).where(mailboxes.c.id == mailbox_id).with_for_update(key_share=True)
        )
        pairs = [(key.kind.value, key.key) for key in keys]
        query = self._of(mailbox_id, ()).where(
            sa.tuple_(subscriptions.c.key_kind, subscriptions.c.key).in_(pairs)
        )
        rows = await self.connection.execute(query.with_for_update())
        return {subscription.key: subscription for subscription in map(_subscription, rows)}

    async def _save(self, merged: Sequence[Subscription]) -> None:
        statement = insert(subscriptions).values([self._row(subscription) for subscription in merged])
        fresh = statement.excluded
        kept = (
            "display_name",
            "sender",
            "message_count",
            "first_seen_at",
            "last_seen_at",
            "category_counts",
            "plan",
            "target_sealed",
        )
        await self.connection.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={name: fresh[name] for name in kept})
        )

    def _row(self, subscription: Subscription) -> dict[str, object]:
        return {
            "id": subscription.id,
            "team_id": self.team_id,
            "mailbox_id": subscription.mailbox_id,
            "key_kind": subscription.key.kind,
            "key": subscription.key.key,
            "display_name": subscription.display_name,
            "sender": subscription.sender,
            "message_count": subscription.message_count,
            "first_seen_at": subscription.first_seen_at,
            "last_seen_at": subscription.last_seen_at,
            "category_counts": dict(subscription.category_counts),
            "state": subscription.state,
            "plan": plan_to_json(subscription.plan),
            "target_sealed": subscription.target_sealed,
        }

    async def _save_messages(
        self,
        mailbox_id: MailboxId,
        seen: Sequence[SeenMessage],
        subscription_ids: Mapping[SubscriptionKey, SubscriptionId],
    ) -> None:
        rows = [
            {
                "team_id": self.team_id,
                "mailbox_id": mailbox_id,
                "gmail_id": message.id,
                "subscription_id": subscription_ids.get(message.key) if message.key else None,
                "received_at": message.received_at,
                "category": message.category,
            }
            for message in seen
        ]
        await self.connection.execute(sa.insert(messages), rows)

    async def _count(self, mailbox_id: MailboxId, new_messages: int, new_subscriptions: int) -> None:
        await self.connection.execute(
            sa.update(mailboxes)
            .where(mailboxes.c.id == mailbox_id)
            .values(
                message_count=mailboxes.c.message_count + new_messages,
                subscription_count=mailboxes.c.subscription_count + new_subscriptions,
            )
        )


_TEXTS = sa.ARRAY(sa.Text)


def _new_id() -> SubscriptionId:
    return SubscriptionId(str(uuid.uuid4()))


def _merged(
    mailbox_id: MailboxId, finding: Finding, known: Subscription | None, target: SealedTarget
) -> Subscription:
    if known is not None:
        return finding.merged_into(known, target.sealed)
    return Subscription(
        id=target.subscription_id,
        mailbox_id=mailbox_id,
        key=finding.key,
        display_name=finding.display_name,
        sender=finding.sender,
        message_count=finding.message_count,
        first_seen_at=finding.first_seen_at,
        last_seen_at=finding.last_seen_at,
        category_counts=finding.category_counts,
        plan=finding.plan,
        target_sealed=target.sealed,
    )


def _subscription(row: sa.Row) -> Subscription:
    return Subscription(
        id=row.id,
        mailbox_id=row.mailbox_id,
        key=SubscriptionKey(KeyKind(row.key_kind), row.key),
        display_name=row.display_name,
        sender=row.sender,
        message_count=row.message_count,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        category_counts=row.category_counts,
        plan=plan_from_json(row.plan),
        target_sealed=row.target_sealed,
        state=SubscriptionState(row.state),
        asked_at=row.asked_at,
        outcome_reason=row.outcome_reason,
    )
