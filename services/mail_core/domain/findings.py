"""What a stretch of read mail says about the lists behind it: counts, dates, and how each can be ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.common.link_safety import LinkPolicy
from services.mail_core.domain.message import Message
from services.mail_core.domain.records import SeenMessage, Subscription
from services.mail_core.domain.subscription import SubscriptionKey, display_name, subscription_key
from services.mail_core.domain.unsubscribe_mail import alias_for
from services.mail_core.domain.unsubscribe_plan import Receiver, UnsubscribePlan, plan


@dataclass(frozen=True, slots=True)
class Finding:
    """One list as a stretch of mail shows it. `plan`, names and `alias` come from its newest message."""

    key: SubscriptionKey
    display_name: str
    sender: str
    alias: str
    plan: UnsubscribePlan
    message_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    category_counts: Mapping[str, int]

    def merged_into(self, known: Subscription, target_sealed: bytes | None) -> Subscription:
        """Add what was found to what is known; the newer of the two says how to end it.

        `target_sealed` is what the plan that was found needs.
        """
        counts = Counter(known.category_counts)
        counts.update(self.category_counts)
        merged = replace(
            known,
            message_count=known.message_count + self.message_count,
            first_seen_at=min(known.first_seen_at, self.first_seen_at),
            last_seen_at=max(known.last_seen_at, self.last_seen_at),
            category_counts=dict(counts),
        )
        if self.last_seen_at < known.last_seen_at:
            return merged
        return replace(
            merged,
            display_name=self.display_name,
            sender=self.sender,
            plan=self.plan,
            target_sealed=target_sealed,
        )


def seen(message: Message, category: str) -> SeenMessage:
    """Reduce a message to what is kept of it."""
    return SeenMessage(message.id, message.received_at, category, subscription_key(message))


def findings(messages: Sequence[tuple[Message, str]], policy: LinkPolicy, owner: str) -> tuple[Finding, ...]:
    """Group messages, each with its category, by their list. `owner` is the mailbox's address."""
    groups: dict[SubscriptionKey, list[tuple[Message, str]]] = {}
    for message, category in messages:
        key = subscription_key(message)
        if key is not None:
            groups.setdefault(key, []).append((message, category))
    return tuple(_finding(key, group, policy, owner) for key, group in groups.items())


def _finding(
    key: SubscriptionKey, group: list[tuple[Message, str]], policy: LinkPolicy, owner: str
) -> Finding:
    newest = max((message for message, _ in group), key=lambda message: message.received_at)
    dates = [message.received_at for message, _ in group]
    return Finding(
        key=key,
        display_name=display_name(newest),
        sender=newest.sender.email if newest.sender else "",
        alias=alias_for(newest.headers, owner),
        plan=plan(newest.headers, newest.label_ids, policy, Receiver(addresses=frozenset({owner}))),
        message_count=len(group),
        first_seen_at=min(dates),
        last_seen_at=max(dates),
        category_counts=dict(Counter(category for _, category in group)),
    )
