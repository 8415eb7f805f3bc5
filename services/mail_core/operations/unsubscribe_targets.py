"""Seals what ending a subscription needs, and opens it where it is needed: not for lists."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from services.common.errors import AppError, precondition
from services.common.sealing import TARGET_COLUMN, Place, Sealer, SealError
from services.common.telemetry import get_logger
from services.mail_core.domain.findings import Finding
from services.mail_core.domain.ids import SubscriptionId, TeamId
from services.mail_core.domain.operation import UnsubscribeReport
from services.mail_core.domain.records import Operation, SealedTarget, Subscription
from services.mail_core.domain.subscription import SubscriptionKey, SubscriptionState
from services.mail_core.domain.target import Target
from services.mail_core.domain.unsubscribe_plan import Method
from services.mail_core.storage import Records

UNREADABLE: Final = "TARGET_UNREADABLE"


@dataclass(frozen=True, slots=True)
class UnsubscribeTargets:
    """Links and addresses at rest are sealed for their list: they tell who reads what, and end it."""

    sealer: Sealer

    async def seal(
        self, found: Sequence[Finding], ids: Mapping[SubscriptionKey, SubscriptionId], team_id: TeamId
    ) -> dict[SubscriptionKey, SealedTarget]:
        """Seal what ending each list needs, for the rows of these ids.

        Raises AppError UNAVAILABLE MASTER_KEY_UNSETTLED.
        """
        sealing = (self._sealed(finding, ids[finding.key], team_id) for finding in found)
        sealed = await asyncio.gather(*sealing)
        return {finding.key: target for finding, target in zip(found, sealed, strict=True)}

    async def open(self, subscription: Subscription, team_id: TeamId) -> Target:
        """Open what ending a subscription needs. Raises FAILED_PRECONDITION TARGET_UNREADABLE."""
        try:
            return Target.from_json(orjson.loads(await self._opened(subscription, team_id)))
        except (SealError, ValueError, KeyError, TypeError):
            get_logger().error("sealed_value_unreadable", column=TARGET_COLUMN, id=subscription.id)
            raise precondition(
                UNREADABLE, "The stored unsubscribe link cannot be opened with this server's master key."
            ) from None

    async def page(self, subscription: Subscription, team_id: TeamId) -> str:
        """Give the page where a person has to finish it; empty when there is none or it does not open."""
        if subscription.plan.method is not Method.WEB_PAGE:
            return ""
        try:
            return (await self.open(subscription, team_id)).web_page_url or ""
        except AppError as error:
            if error.reason != UNREADABLE:
                raise
            # One damaged value must not hide all the others of a list.
            return ""

    async def pages(self, found: Sequence[Subscription], team_id: TeamId) -> dict[SubscriptionId, str]:
        """Give the page of each, opened all at once."""
        pages = await asyncio.gather(*(self.page(each, team_id) for each in found))
        return {each.id: page for each, page in zip(found, pages, strict=True)}

    async def with_pages(self, records: Records, operation: Operation) -> Operation:
        """Add the pages of today to the result of an operation that is left to a person."""
        report = operation.result
        if not isinstance(report, UnsubscribeReport):
            return operation
        left = [each for each in report.outcomes if each.state is SubscriptionState.NEEDS_PERSON]
        if not left:
            return operation
        ids = [each.subscription_id for each in left]
        found = await records.subscriptions.find(operation.mailbox_id, ids)
        pages = await self.pages(found, operation.team_id)
        outcomes = tuple(
            replace(each, web_page_url=pages.get(each.subscription_id, "")) if each in left else each
            for each in report.outcomes
        )
        return replace(operation, result=replace(report, outcomes=outcomes))

    async def _sealed(
        self, finding: Finding, subscription_id: SubscriptionId, team_id: TeamId
    ) -> SealedTarget:
        if finding.plan.method is Method.NONE:
            return SealedTarget(subscription_id, None)
        target = orjson.dumps(Target.of(finding.plan, finding.alias).to_json())
        return SealedTarget(subscription_id, await self.sealer.seal(target, _place(team_id, subscription_id)))

    async def _opened(self, subscription: Subscription, team_id: TeamId) -> bytes:
        kept = subscription.target_sealed or b""
        plain = self.sealer.plain_of(kept)
        return await self.sealer.open(kept, _place(team_id, subscription.id)) if plain is None else plain


def _place(team_id: TeamId, subscription_id: SubscriptionId) -> Place:
    return Place(team_id, TARGET_COLUMN, subscription_id)
