"""What a request for a scan or an unsubscribe has to pass before it becomes an operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.common.context import Call
from services.common.errors import invalid, not_found
from services.mail_core.domain.ids import SubscriptionId, TeamId
from services.mail_core.domain.operation import OperationKind
from services.mail_core.domain.records import Operation
from services.mail_core.operations.google_grants import check_grant
from services.mail_core.operations.mailbox_access import is_uuid, mailbox_for
from services.mail_core.operations.request_operation import OperationRequest, request_operation
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.storage import Clock, Store

MAX_MESSAGES: Final = 50_000
MAX_SUBSCRIPTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class AskForWork:
    """Turns requests into queued operations."""

    store: Store
    targets: UnsubscribeTargets
    clock: Clock

    async def scan(
        self, call: Call, mailbox_id: str, request_id: str, *, dry_run: bool, max_messages: int
    ) -> Operation:
        """Ask for a scan. Raises AppError as `ScanMailbox` of the contract says."""
        if not 0 <= max_messages <= MAX_MESSAGES:
            raise invalid(
                "MAX_MESSAGES_OUT_OF_RANGE",
                f"max_messages must be 1 to {MAX_MESSAGES}.",
                field="max_messages",
            )
        arguments = {"dry_run": dry_run, "max_messages": max_messages}
        return await self._ask(call, mailbox_id, OperationRequest(OperationKind.SCAN, request_id, arguments))

    async def unsubscribe(
        self, call: Call, mailbox_id: str, request_id: str, subscription_ids: Sequence[str], *, dry_run: bool
    ) -> Operation:
        """Ask for subscriptions to be ended. Raises AppError as `Unsubscribe` of the contract says."""
        ids = list(dict.fromkeys(each.lower() for each in subscription_ids))
        if not ids:
            raise invalid(
                "SUBSCRIPTION_IDS_REQUIRED", "Name the subscriptions to end.", field="subscription_ids"
            )
        if len(ids) > MAX_SUBSCRIPTIONS:
            raise invalid(
                "TOO_MANY_SUBSCRIPTIONS",
                f"At most {MAX_SUBSCRIPTIONS} subscriptions at a time.",
                field="subscription_ids",
            )
        arguments = {"dry_run": dry_run, "subscription_ids": ids}
        request = OperationRequest(OperationKind.UNSUBSCRIBE, request_id, arguments)
        return await self._ask(call, mailbox_id, request, ids)

    async def _ask(
        self, call: Call, mailbox_id: str, request: OperationRequest, subscription_ids: Sequence[str] = ()
    ) -> Operation:
        caller = call.require_caller()
        async with self.store.team(TeamId(caller.team_id)) as records:
            mailbox = await mailbox_for(records, caller, mailbox_id)
            check_grant(mailbox)
            wanted = {SubscriptionId(each) for each in subscription_ids if is_uuid(each)}
            found = {each.id for each in await records.subscriptions.find(mailbox.id, wanted)}
            if len(found) < len(subscription_ids):
                raise not_found("SUBSCRIPTION_NOT_FOUND", "One of the subscriptions does not exist.")
            operation = await request_operation(records, mailbox, call, request, self.clock)
            return await self.targets.with_pages(records, operation)
