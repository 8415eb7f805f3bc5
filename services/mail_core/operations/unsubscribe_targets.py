"""Seals what ending a subscription needs, and opens it where it is needed: one at a time, not for lists."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from services.common.errors import AppError, precondition
from services.common.sealing import TARGET_COLUMN, Place, Sealer, SealError, plain_of
from services.common.telemetry import get_logger
from services.mail_core.domain.findings import Finding
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.operation import UnsubscribeReport
from services.mail_core.domain.records import Operation, Subscription
from services.mail_core.domain.subscription import SubscriptionKey, SubscriptionState
from services.mail_core.domain.target import Target
from services.mail_core.domain.unsubscribe_plan import Method
from services.mail_core.storage import Records

UNREADABLE: Final = "TARGET_UNREADABLE"


@dataclass(frozen=True, slots=True)
class UnsubscribeTargets:
    """Links and addresses at rest are sealed for their team: they tell who reads what, and end it."""

    sealer: Sealer

    async def seal(self, found: Sequence[Finding], team_id: TeamId) -> dict[SubscriptionKey, bytes | None]:
        """Seal what ending each list needs; None where that is nothing.

        Raises AppError UNAVAILABLE MASTER_KEY_UNSETTLED.
        """
        return {finding.key: await self._sealed(finding, team_id) for finding in found}

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
        except AppError:
            # One damaged value must not hide all the others of a list.
            return ""

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
        pages = {each.id: await self.page(each, operation.team_id) for each in found}
        outcomes = tuple(
            replace(each, web_page_url=pages.get(each.subscription_id, "")) if each in left else each
            for each in report.outcomes
        )
        return replace(operation, result=replace(report, outcomes=outcomes))

    async def _sealed(self, finding: Finding, team_id: TeamId) -> bytes | None:
        if finding.plan.method is Method.NONE:
            return None
        target = Target.of(finding.plan, finding.alias)
        return await self.sealer.seal(orjson.dumps(target.to_json()), Place(team_id, TARGET_COLUMN))

    async def _opened(self, subscription: Subscription, team_id: TeamId) -> bytes:
        kept = subscription.target_sealed or b""
        plain = plain_of(kept)
        return await self.sealer.open(kept, Place(team_id, TARGET_COLUMN)) if plain is None else plain
