"""Says when the owner is free, by Google's free/busy. What cannot be read never counts as free."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.context import Call
from services.common.errors import precondition
from services.mail_core.domain.availability import (
    Interval,
    MeetingRequest,
    busy_within,
    suggest,
    window_to_read,
)
from services.mail_core.domain.ids import TeamId
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.mailbox_access import mailbox_for
from services.mail_core.ports import FreeBusy
from services.mail_core.storage import Clock, Store


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the owner is free in a window, and what stands against it."""

    window: Interval
    busy: tuple[Interval, ...]
    unreadable: dict[str, str]

    @property
    def is_available(self) -> bool:
        """True only when every calendar was read and none is busy."""
        return not self.busy and not self.unreadable


@dataclass(frozen=True, slots=True)
class OwnerTime:
    """Questions about a mailbox owner's time."""

    store: Store
    grants: GoogleGrants
    clock: Clock

    async def check(
        self, call: Call, mailbox_id: str, window: Interval, calendar_ids: Sequence[str]
    ) -> Availability:
        """Say whether the owner is free."""
        read = await self._free_busy(call, mailbox_id, window, calendar_ids)
        return Availability(window, busy_within(window, _all_busy(read)), dict(read.errors))

    async def suggest(
        self,
        call: Call,
        mailbox_id: str,
        window: Interval,
        calendar_ids: Sequence[str],
        meeting: MeetingRequest,
    ) -> list[Interval]:
        """Suggest intervals. Raises FAILED_PRECONDITION CALENDAR_UNREADABLE: a guess helps nobody."""
        read = await self._free_busy(call, mailbox_id, window_to_read(window, meeting), calendar_ids)
        if read.errors:
            raise precondition(
                "CALENDAR_UNREADABLE", "A calendar cannot be read, so its owner may be busy at any time."
            )
        return suggest(window, _all_busy(read), meeting, self.clock())

    async def _free_busy(
        self, call: Call, mailbox_id: str, window: Interval, calendar_ids: Sequence[str]
    ) -> FreeBusy:
        caller = call.require_caller()
        async with self.store.team(TeamId(caller.team_id)) as records:
            mailbox = await mailbox_for(records, caller, mailbox_id)
        calendar = await self.grants.calendar(mailbox)
        return await calendar.free_busy(calendar_ids, window.start, window.end)


def _all_busy(read: FreeBusy) -> list[Interval]:
    return [interval for intervals in read.busy.values() for interval in intervals]
