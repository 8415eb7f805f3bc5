"""Lists mailboxes, subscriptions and attempts, page by page. Sends nothing to anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.common.context import Call
from services.mail_core.domain.ids import AttemptId, MailboxId, SubscriptionId, TeamId
from services.mail_core.domain.paging import page_size_of, read_token, write_token
from services.mail_core.domain.records import Attempt, Mailbox, Subscription
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.mailbox_access import mailbox_for, may_use
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.storage import NewestPosition, RankedPosition, Store


@dataclass(frozen=True, slots=True)
class Page:
    """What a caller asks to see of a listing."""

    size: int
    token: str


@dataclass(frozen=True, slots=True)
class LookAtMail:
    """The listings. Each raises DomainError PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID."""

    store: Store
    targets: UnsubscribeTargets

    async def mailboxes(self, call: Call, page: Page) -> tuple[list[Mailbox], str]:
        """List the mailboxes that the caller may use, and the token of the next page."""
        caller, size = call.require_caller(), page_size_of(page.size)
        position = read_token(page.token, "mailboxes", (str,))
        after = MailboxId(str(position[0])) if position else None
        async with self.store.team(TeamId(caller.team_id)) as records:
            rows = await records.mailboxes.list(size + 1, after)
        token = write_token("mailboxes", [rows[size - 1].id]) if len(rows) > size else ""
        return [mailbox for mailbox in rows[:size] if may_use(caller, mailbox)], token

    async def subscriptions(
        self, call: Call, mailbox_id: str, page: Page, states: Sequence[SubscriptionState]
    ) -> tuple[list[Subscription], str, int]:
        """List subscriptions with most messages first, the token of the next page, and how many there are."""
        caller, size = call.require_caller(), page_size_of(page.size)
        listing = f"subscriptions:{mailbox_id}:{','.join(sorted(states))}"
        position = read_token(page.token, listing, (int, str))
        after = RankedPosition(int(position[0]), SubscriptionId(str(position[1]))) if position else None
        async with self.store.team(TeamId(caller.team_id)) as records:
            mailbox = await mailbox_for(records, caller, mailbox_id)
            rows = await records.subscriptions.ranked(mailbox.id, states, size + 1, after)
            # The mailbox keeps count of all of them, so that only a choice has to be counted.
            total = mailbox.subscription_count
            if states:
                total = await records.subscriptions.count(mailbox.id, states)
        last = rows[size - 1] if len(rows) > size else None
        token = write_token(listing, [last.message_count, last.id]) if last else ""
        return rows[:size], token, total

    async def web_pages(self, call: Call, rows: Sequence[Subscription]) -> dict[SubscriptionId, str]:
        """Open the pages of those that were left to a person; all others stay sealed."""
        team_id = TeamId(call.require_caller().team_id)
        left = [row for row in rows if row.state is SubscriptionState.NEEDS_PERSON]
        return await self.targets.pages(left, team_id)

    async def attempts(self, call: Call, mailbox_id: str, page: Page) -> tuple[list[Attempt], str]:
        """List attempts, newest first, and the token of the next page."""
        caller, size = call.require_caller(), page_size_of(page.size)
        listing = f"attempts:{mailbox_id}"
        after = _newest_position(read_token(page.token, listing, (str, str)))
        async with self.store.team(TeamId(caller.team_id)) as records:
            mailbox = await mailbox_for(records, caller, mailbox_id)
            rows = await records.ledger.newest(mailbox.id, size + 1, after)
        last = rows[size - 1] if len(rows) > size else None
        token = write_token(listing, [last.created_at.isoformat(), last.id]) if last else ""
        return rows[:size], token


def _newest_position(position: list[str | int] | None) -> NewestPosition | None:
    if position is None:
        return None
    return NewestPosition(datetime.fromisoformat(str(position[0])), AttemptId(str(position[1])))
