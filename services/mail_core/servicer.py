"""The contract's methods: proto → values → operation → proto. No rule about mail lives here."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.context import Call
from services.common.errors import invalid
from services.mail_core import presenting
from services.mail_core.domain.availability import MeetingRequest, WorkingHours, calendars_of, window_of
from services.mail_core.domain.errors import DomainError
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.ask_for_work import AskForWork
from services.mail_core.operations.follow_operation import FollowOperation
from services.mail_core.operations.import_mailbox import ImportMailbox, StateFiles
from services.mail_core.operations.label_mailbox import LabelMailbox
from services.mail_core.operations.look_at_mail import LookAtMail, Page
from services.mail_core.operations.owner_time import OwnerTime
from services.mail_core.operations.reseal_secrets import ResealSecrets
from services.mail_core.secret_ports import KeyUses


@dataclass(frozen=True, slots=True)
class MailServicer:
    """Answers `mailwarden.mail.v1.MailService`."""

    look: LookAtMail
    ask: AskForWork
    follow: FollowOperation
    owner_time: OwnerTime
    label: LabelMailbox

    async def list_mailboxes(
        self, request: mail_pb2.ListMailboxesRequest, call: Call
    ) -> mail_pb2.ListMailboxesResponse:
        """List mailboxes."""
        with _domain_errors():
            rows, token = await self.look.mailboxes(call, _page(request))
        return mail_pb2.ListMailboxesResponse(
            mailboxes=[presenting.mailbox(row) for row in rows], next_page_token=token
        )

    async def update_mailbox(
        self, request: mail_pb2.UpdateMailboxRequest, call: Call
    ) -> resources_pb2.Mailbox:
        """Label a mailbox."""
        return presenting.mailbox(await self.label(call, request.mailbox_id, request.label))

    async def scan_mailbox(self, request: mail_pb2.ScanMailboxRequest, call: Call) -> resources_pb2.Operation:
        """Ask for a scan."""
        operation = await self.ask.scan(
            call,
            request.mailbox_id,
            request.request_id,
            dry_run=request.dry_run,
            max_messages=request.max_messages,
        )
        return presenting.operation(operation)

    async def list_subscriptions(
        self, request: mail_pb2.ListSubscriptionsRequest, call: Call
    ) -> mail_pb2.ListSubscriptionsResponse:
        """List subscriptions."""
        with _domain_errors():
            rows, token, total = await self.look.subscriptions(
                call, request.mailbox_id, _page(request), _states(request.states)
            )
        pages = await self.look.web_pages(call, rows)
        return mail_pb2.ListSubscriptionsResponse(
            subscriptions=[presenting.subscription(row, pages.get(row.id, "")) for row in rows],
            next_page_token=token,
            total_size=total,
        )

    async def unsubscribe(self, request: mail_pb2.UnsubscribeRequest, call: Call) -> resources_pb2.Operation:
        """Ask for subscriptions to be ended."""
        operation = await self.ask.unsubscribe(
            call, request.mailbox_id, request.request_id, request.subscription_ids, dry_run=request.dry_run
        )
        return presenting.operation(operation)

    async def list_unsubscribes(
        self, request: mail_pb2.ListUnsubscribesRequest, call: Call
    ) -> mail_pb2.ListUnsubscribesResponse:
        """List the ledger."""
        with _domain_errors():
            rows, token = await self.look.attempts(call, request.mailbox_id, _page(request))
        return mail_pb2.ListUnsubscribesResponse(
            attempts=[presenting.attempt(row) for row in rows], next_page_token=token
        )

    async def check_availability(
        self, request: mail_pb2.CheckAvailabilityRequest, call: Call
    ) -> mail_pb2.CheckAvailabilityResponse:
        """Say whether the owner is free."""
        with _domain_errors():
            window = window_of(_instant(request, "start_time"), _instant(request, "end_time"))
            calendars = calendars_of(request.calendar_ids)
            found = await self.owner_time.check(call, request.mailbox_id, window, calendars)
        return presenting.availability(found)

    async def suggest_meeting_intervals(
        self, request: mail_pb2.SuggestMeetingIntervalsRequest, call: Call
    ) -> mail_pb2.SuggestMeetingIntervalsResponse:
        """Suggest intervals in which a meeting fits."""
        with _domain_errors():
            window = window_of(_instant(request, "start_time"), _instant(request, "end_time"))
            calendars, meeting = calendars_of(request.calendar_ids), _meeting(request)
            found = await self.owner_time.suggest(call, request.mailbox_id, window, calendars, meeting)
        return mail_pb2.SuggestMeetingIntervalsResponse(
            intervals=presenting.intervals(found), time_zone=meeting.time_zone
        )

    async def get_operation(
        self, request: mail_pb2.GetOperationRequest, call: Call
    ) -> resources_pb2.Operation:
        """Give an operation."""
        return presenting.operation(await self.follow.get(call, request.id, request.request_id))

    async def watch_operation(
        self, request: mail_pb2.WatchOperationRequest, call: Call
    ) -> AsyncIterator[resources_pb2.Operation]:
        """Follow an operation to its end."""
        async for operation in self.follow.watch(call, request.id):
            yield presenting.operation(operation)

    async def cancel_operation(
        self, request: mail_pb2.CancelOperationRequest, call: Call
    ) -> resources_pb2.Operation:
        """Ask an operation to stop."""
        return presenting.operation(await self.follow.cancel(call, request.id))


@dataclass(frozen=True, slots=True)
class MailAdminServicer:
    """Answers `mailwarden.mail.v1.MailAdminService`."""

    importing: ImportMailbox
    secrets: ResealSecrets

    async def import_mailbox(
        self,
        request: mail_pb2.ImportMailboxRequest,
        call: Call,  # noqa: ARG002 every method has it
    ) -> mail_pb2.ImportMailboxResponse:
        """Connect a mailbox from the personal agent's files."""
        files = StateFiles(
            request.token_json, request.unsubscribed_methods_json, request.sent_unsubscribe_links_json
        )
        with _domain_errors():
            bound = request.max_mailboxes if request.HasField("max_mailboxes") else None
            label = request.label if request.HasField("label") else None
            done = await self.importing(request.team_id, files, bound, label)
        return mail_pb2.ImportMailboxResponse(
            mailbox=presenting.mailbox(done.mailbox),
            replaced=done.is_replaced,
            imported_unsubscribe_count=done.unsubscribe_count,
        )

    async def get_master_keys(
        self,
        request: mail_pb2.GetMasterKeysRequest,
        call: Call,  # noqa: ARG002
    ) -> mail_pb2.GetMasterKeysResponse:
        """Tell which master keys there are."""
        holders = await self.secrets.values.holders()
        uses = KeyUses((), 0) if request.holders_only else await self.secrets.values.uses()
        return mail_pb2.GetMasterKeysResponse(
            keys=[
                mail_pb2.MasterKey(key_id=use.key_id, value_count=use.count, older_form_count=use.older)
                for use in uses.keys
            ],
            unsealed_count=uses.unsealed,
            holders=[
                mail_pb2.MasterKeyHolder(
                    replica=holder.replica, key_ids=holder.key_ids, seals_under=holder.seals_under
                )
                for holder in holders
            ],
        )

    async def reseal_secrets(
        self,
        request: mail_pb2.ResealSecretsRequest,
        call: Call,  # noqa: ARG002
    ) -> mail_pb2.ResealSecretsResponse:
        """Seal one batch anew."""
        done = await self.secrets(request.page_token)
        return mail_pb2.ResealSecretsResponse(
            examined_count=done.examined,
            resealed_count=done.resealed,
            raced_count=done.raced,
            unreadable_count=done.unreadable,
            next_page_token=done.next_page_token,
        )

    async def retire_master_key(
        self,
        request: mail_pb2.RetireMasterKeyRequest,
        call: Call,  # noqa: ARG002
    ) -> mail_pb2.RetireMasterKeyResponse:
        """Forget a master key."""
        await self.secrets.retire(request.key_id)
        return mail_pb2.RetireMasterKeyResponse()


@contextlib.contextmanager
def _domain_errors() -> Iterator[None]:
    """Let what the domain refuses leave as INVALID_ARGUMENT."""
    try:
        yield
    except DomainError as error:
        raise invalid(error.reason, error.message, field=error.field) from None


def _page(
    request: mail_pb2.ListMailboxesRequest
    | mail_pb2.ListSubscriptionsRequest
    | mail_pb2.ListUnsubscribesRequest,
) -> Page:
    return Page(request.page_size, request.page_token)


def _states(values: Sequence[int]) -> list[SubscriptionState]:
    try:
        names = [resources_pb2.SubscriptionState.Name(value) for value in values]
        return [SubscriptionState(name.removeprefix("SUBSCRIPTION_STATE_").lower()) for name in names]
    except ValueError:
        raise DomainError("STATE_UNKNOWN", "states names a state that does not exist.", "states") from None


def _instant(
    request: mail_pb2.CheckAvailabilityRequest | mail_pb2.SuggestMeetingIntervalsRequest, field: str
) -> datetime | None:
    if not request.HasField(field):  # pyright: ignore[reportArgumentType]
        return None
    value: Timestamp = getattr(request, field)
    try:
        return value.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise DomainError("TIME_INVALID", f"{field} is out of range.", field) from None


def _working_hours(hours: mail_pb2.WorkingHours) -> WorkingHours:
    return WorkingHours(hours.start, hours.end, tuple(hours.days) or WorkingHours().days)


def _meeting(request: mail_pb2.SuggestMeetingIntervalsRequest) -> MeetingRequest:
    default = MeetingRequest()
    return MeetingRequest(
        duration_minutes=request.duration_minutes or default.duration_minutes,
        time_zone=request.time_zone or default.time_zone,
        working_hours=_working_hours(request.working_hours)
        if request.HasField("working_hours")
        else default.working_hours,
        buffer_minutes=request.buffer_minutes,
        step_minutes=request.step_minutes or default.step_minutes,
        max_intervals=request.max_intervals or default.max_intervals,
    )
