"""Reads, takes over and verifies audit events."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.auth.audit_ports import AuditLog, AuditQuery
from services.auth.domain.audit_chain import Broken, Kept, Link, Verifier
from services.auth.domain.team import team_not_found
from services.auth.ports import Clock
from services.common.audit import AuditEvent, check_event
from services.common.errors import invalid

MAX_EVENTS: Final = 500
MAX_PAGE: Final = 200
_DEFAULT_PAGE: Final = 50
_TOKEN: Final = re.compile(r"evt([1-9][0-9]{0,17})", re.ASCII)
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first, and where to go on; empty at the end."""

    rows: list[Kept]
    next_token: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much of a team's chain is as it was written, and the first thing that is wrong."""

    team_id: str
    count: int
    broken: Broken | None


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """What a team may see of its log."""

    log: AuditLog

    async def page(self, team_id: str, query: AuditQuery, size: int, token: str) -> Page:
        """List events. Raises AppError PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID, WINDOW_INVERTED."""
        if not 0 <= size <= MAX_PAGE:
            raise invalid("PAGE_SIZE_OUT_OF_RANGE", f"page_size must be 1 to {MAX_PAGE}.", field="page_size")
        before = _TOKEN.fullmatch(token)
        if token and before is None:
            raise invalid("PAGE_TOKEN_INVALID", "page_token is not of an earlier answer.", field="page_token")
        limit = size or _DEFAULT_PAGE
        rows = await self.log.page(team_id, _checked(query), limit + 1, int(before[1]) if before else None)
        has_more = len(rows) > limit
        return Page(rows[:limit], f"evt{rows[limit - 1].link.sequence}" if has_more else "")

    async def export(self, team_id: str, query: AuditQuery) -> AsyncIterator[Kept]:
        """Give all events, oldest first. Raises AppError WINDOW_INVERTED."""
        async for row in self.log.oldest_first(team_id, _checked(query)):
            yield row


@dataclass(frozen=True, slots=True)
class TakeOverEvents:
    """Appends what other processes recorded, each event once."""

    log: AuditLog
    clock: Clock

    async def __call__(self, events: Sequence[AuditEvent]) -> int:
        """Append; gives how many were new. Raises AppError TOO_MANY_EVENTS, EVENT_INVALID."""
        if not 1 <= len(events) <= MAX_EVENTS:
            raise invalid("TOO_MANY_EVENTS", f"Send 1 to {MAX_EVENTS} events.", field="events")
        latest = self.clock() + _CLOCKS_DIFFER_BY
        for event in events:
            check_event(event)
            if event.at > latest:
                # Retention removes up to the first event that is young enough: this one would stop it.
                raise invalid("EVENT_INVALID", "An event lies in the future.")
        return await self.log.append(events)


@dataclass(frozen=True, slots=True)
class VerifyAudit:
    """Computes chains again."""

    log: AuditLog

    async def __call__(self, team_id: str = "") -> AsyncIterator[Verdict]:
        """Verify one chain, or all. Raises AppError NOT_FOUND TEAM_NOT_FOUND for one that does not exist."""
        teams = await self.log.teams()
        if team_id and team_id not in teams:
            raise team_not_found()
        for each in [team_id] if team_id else teams:
            yield await self._chain(each)

    async def _chain(self, team_id: str) -> Verdict:
        while True:
            anchor, head = await self.log.ends(team_id)
            verifier = Verifier(anchor)
            await self._walk(team_id, verifier, head)
            broken = verifier.end(head)
            # Retention may have moved the anchor on while we walked: then what is gone was to go.
            if broken is None or (await self.log.ends(team_id))[0] == anchor:
                return Verdict(team_id, verifier.count, broken)

    async def _walk(self, team_id: str, verifier: Verifier, head: Link) -> None:
        after = 0
        while rows := await self.log.rows(team_id, after, head.sequence):
            verifier.walk(rows)
            if verifier.broken is not None:
                return
            after = rows[-1].link.sequence


def _checked(query: AuditQuery) -> AuditQuery:
    if query.start is not None and query.end is not None and query.end <= query.start:
        raise invalid("WINDOW_INVERTED", "end_time must be after start_time.", field="end_time")
    return query
