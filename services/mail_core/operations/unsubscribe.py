"""Ends subscriptions, each once (ADR 0006).

An attempt is claimed in the ledger before the network is touched. Whoever comes second, a repeated
request, a second worker or this one after a crash, finds the claim and sends nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.common.errors import AppError
from services.common.telemetry import span
from services.mail_core.domain.attempt import (
    AttemptOutcome,
    interrupted,
    mail_not_sent,
    mail_sent,
    one_click_answer_lost,
)
from services.mail_core.domain.ids import AttemptId, SubscriptionId
from services.mail_core.domain.operation import Phase, Progress, UnsubscribeOutcome, UnsubscribeReport
from services.mail_core.domain.records import Operation, Outcome, Subscription
from services.mail_core.domain.subscription import SubscriptionState, is_settled
from services.mail_core.domain.target import Target, target_of
from services.mail_core.domain.unsubscribe_mail import compose
from services.mail_core.domain.unsubscribe_plan import Method, Way
from services.mail_core.operations.auditing import unsubscribe_attempted, unsubscribe_ended
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.run_operation import Reporter
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.ports import OneClick, SendUnknownError
from services.mail_core.storage import Clock, Records, Store

AT_ONCE: Final = 8
_ALREADY_USED: Final = Outcome(
    SubscriptionState.SENT,
    "ALREADY_USED",
    "This very link was used before, for another list or by the agent that you came from.",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that is ours to make."""

    attempt_id: AttemptId
    subscription: Subscription
    target: Target


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The work of an unsubscribe operation."""

    store: Store
    grants: GoogleGrants
    targets: UnsubscribeTargets
    one_click: OneClick
    clock: Clock

    async def __call__(self, operation: Operation, report: Reporter) -> UnsubscribeReport:
        """End the subscriptions that the operation names, some at a time."""
        ids = [SubscriptionId(each) for each in operation.arguments["subscription_ids"]]
        run = _Run(self, operation, report, ids)
        return await run.run()

    async def decide(
        self, operation: Operation, subscription_id: SubscriptionId
    ) -> Claim | UnsubscribeOutcome | None:
        """Claim an attempt, or say what stands in its way; None when the subscription is gone.

        Raises AppError TARGET_UNREADABLE before anything is claimed, used or sent.
        """
        async with self.store.team(operation.team_id) as records:
            subscription = await records.subscriptions.lock(subscription_id)
            if subscription is None or subscription.mailbox_id != operation.mailbox_id:
                return None
            if operation.arguments["dry_run"]:
                return _preview(subscription)
            if subscription.state is SubscriptionState.REQUESTED:
                return await self._requested(records, operation, subscription)
            if is_settled(subscription.state, subscription.outcome_reason):
                return _told(subscription, already_done=True)
            return await self._claim(records, operation, subscription)

    async def send(self, operation: Operation, claim: Claim) -> UnsubscribeOutcome:
        """Make a claimed attempt and write down how it ended."""
        with span(f"unsubscribe.{claim.subscription.plan.method}"):
            ended = await self._attempt(operation, claim)
        outcome = _outcome_of(ended)
        async with self.store.team(operation.team_id) as records:
            await self._conclude(records, operation, claim.attempt_id, claim.subscription, outcome)
            if not is_settled(outcome.state, outcome.reason):
                await records.ledger.release_target(operation.mailbox_id, target_of(claim.target))
        return _told(claim.subscription, outcome)

    async def _claim(
        self, records: Records, operation: Operation, subscription: Subscription
    ) -> Claim | UnsubscribeOutcome:
        method = subscription.plan.method
        if decided := _without_network(subscription.plan):
            return await self._decided(records, operation, subscription, decided)
        target = await self.targets.open(subscription, operation.team_id)
        if not await records.ledger.take_target(operation.mailbox_id, target_of(target)):
            return await self._decided(records, operation, subscription, _ALREADY_USED)
        attempt_id = await records.ledger.claim(subscription, operation.id, method, self.clock())
        records.audit.note(unsubscribe_attempted(operation, subscription.id, attempt_id, method))
        return Claim(attempt_id, subscription, target)

    async def _decided(
        self, records: Records, operation: Operation, subscription: Subscription, decided: Outcome
    ) -> UnsubscribeOutcome:
        """Write down what ended without the network."""
        method = subscription.plan.method
        await records.ledger.decide(subscription, operation.id, method, decided, self.clock())
        records.audit.note(unsubscribe_ended(operation, subscription.id, decided, method))
        return _told(subscription, decided)

    async def _requested(
        self, records: Records, operation: Operation, subscription: Subscription
    ) -> UnsubscribeOutcome:
        claimed = await records.ledger.claimed_by(subscription.id)
        if claimed is None or claimed[1] != operation.id:
            return _told(subscription, already_done=True)
        # Our own claim from before a crash: the request may have gone out, and nobody can know.
        outcome = _outcome_of(interrupted())
        await self._conclude(records, operation, claimed[0], subscription, outcome)
        return _told(subscription, outcome)

    async def _conclude(
        self,
        records: Records,
        operation: Operation,
        attempt_id: AttemptId,
        subscription: Subscription,
        outcome: Outcome,
    ) -> None:
        """Write down how an attempt ended, in ledger and log; nothing when it had been concluded already."""
        if await records.ledger.conclude(attempt_id, subscription.id, outcome, self.clock()):
            method = subscription.plan.method
            records.audit.note(unsubscribe_ended(operation, subscription.id, outcome, method, attempt_id))

    async def _attempt(self, operation: Operation, claim: Claim) -> AttemptOutcome:
        if claim.target.one_click_url is not None:
            return await self.one_click.post(claim.target.one_click_url)
        return await self._send_mail(operation, claim)

    async def _send_mail(self, operation: Operation, claim: Claim) -> AttemptOutcome:
        target = claim.target
        if target.mailto is None:
            raise RuntimeError("only plans with a link or an address are claimed")
        async with self.store.team(operation.team_id) as records:
            mailbox = await records.mailboxes.find(operation.mailbox_id)
        if mailbox is None:
            return mail_not_sent()
        sender = target.alias or mailbox.email_address
        try:
            mail = compose(target.mailto, sender, claim.attempt_id, self.clock())
            gmail = await self.grants.gmail(mailbox)
            await gmail.send(mail)
        except SendUnknownError:
            return one_click_answer_lost()
        except (AppError, ValueError):
            # Gmail refused it, or an address that a message named does not fit a header: nothing went out.
            return mail_not_sent()
        return mail_sent()


class _Run:
    """One unsubscribe operation on its way: several subscriptions at a time, answers in their order."""

    def __init__(
        self, work: Unsubscribe, operation: Operation, report: Reporter, ids: Sequence[SubscriptionId]
    ) -> None:
        self._work = work
        self._operation = operation
        self._report = report
        self._ids = ids
        self._outcomes: dict[SubscriptionId, UnsubscribeOutcome] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._is_dry = bool(operation.arguments["dry_run"])

    async def run(self) -> UnsubscribeReport:
        await self._tell()
        try:
            async with asyncio.TaskGroup() as group:
                for subscription_id in self._ids:
                    group.create_task(self._one(subscription_id))
        except ExceptionGroup as failures:
            # Somebody cancelled, or one failed: what was on its way then is still part of what was done.
            await asyncio.gather(*self._sending, return_exceptions=True)
            self._report.so_far = self._summary()
            raise failures.exceptions[0] from None
        return self._summary()

    async def _one(self, subscription_id: SubscriptionId) -> None:
        async with self._free:
            decided = await self._work.decide(self._operation, subscription_id)
            if isinstance(decided, Claim):
                # Whatever happens around it, an attempt that was claimed is made and written down.
                await asyncio.shield(self._sent(decided))
            elif decided is not None:
                self._outcomes[subscription_id] = decided
            await self._tell()

    def _sent(self, claim: Claim) -> asyncio.Task[None]:
        sending = asyncio.create_task(self._send(claim))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return sending

    async def _send(self, claim: Claim) -> None:
        self._outcomes[claim.subscription.id] = await self._work.send(self._operation, claim)

    async def _tell(self) -> None:
        self._report.so_far = self._summary()
        await self._report(Progress(len(self._outcomes), len(self._ids), Phase.UNSUBSCRIBING))

    def _summary(self) -> UnsubscribeReport:
        ordered = (self._outcomes[each] for each in self._ids if each in self._outcomes)
        return UnsubscribeReport(self._is_dry, tuple(ordered))


def _without_network(plan: Way) -> Outcome | None:
    """What a plan comes to when it leaves nothing for us to send."""
    if plan.method is Method.NONE:
        return Outcome(SubscriptionState.REFUSED, plan.reason, plan.explanation)
    if plan.method is Method.WEB_PAGE:
        return Outcome(SubscriptionState.NEEDS_PERSON, plan.reason, plan.explanation)
    return None


def _outcome_of(ended: AttemptOutcome) -> Outcome:
    return Outcome(ended.state, ended.reason, ended.explanation, ended.http_status)


def _told(
    subscription: Subscription, outcome: Outcome | None = None, *, already_done: bool = False
) -> UnsubscribeOutcome:
    """Say what became of a subscription: now, or by an earlier request."""
    state = outcome.state if outcome else subscription.state
    reason = outcome.reason if outcome else subscription.outcome_reason
    return UnsubscribeOutcome(
        subscription_id=subscription.id,
        display_name=subscription.display_name,
        state=state,
        method=subscription.plan.method,
        already_done=already_done,
        reason=reason,
        explanation=outcome.explanation if outcome else _EARLIER,
    )


_EARLIER: Final = "An earlier request had settled it, so nothing was sent."


def _preview(subscription: Subscription) -> UnsubscribeOutcome:
    """Say what would be done."""
    settled = is_settled(subscription.state, subscription.outcome_reason)
    decided = Outcome(subscription.state, subscription.plan.reason, subscription.plan.explanation)
    return _told(subscription, None if settled else decided, already_done=settled)
