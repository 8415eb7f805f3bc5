"""Which messages a scan has to look at: those since the cursor, or all of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.records import Mailbox
from services.mail_core.ports import Gmail, HistoryExpiredError

RECEIVED: Final = "-in:sent -in:drafts"
_QUERY_MARGIN: Final = timedelta(days=2)
"""Gmail's `after:` goes by the message's own date, which may lie before its arrival."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Ids to look at, newest first, and the cursor that stands for having looked at them all."""

    ids: tuple[GmailMessageId, ...]
    cursor: str
    is_incremental: bool


async def list_new_mail(gmail: Gmail, mailbox: Mailbox, query: str) -> Listing:
    """List what came since the cursor; everything when there is none or Gmail forgot it."""
    if mailbox.history_id:
        try:
            return await _since_cursor(gmail, mailbox, query)
        except HistoryExpiredError:
            # Rows of messages that were read keep this from being a second first scan.
            pass
    # The cursor is taken before listing, so that nothing falls between the two.
    cursor = (await gmail.profile()).history_id
    return Listing(await _all_ids(gmail, f"{query} {RECEIVED}".strip()), cursor, is_incremental=False)


async def _since_cursor(gmail: Gmail, mailbox: Mailbox, query: str) -> Listing:
    new = await gmail.new_ids_since(mailbox.history_id)
    newest_first = tuple(reversed(new.ids))
    if query and newest_first:
        matching = await _matching(gmail, query, mailbox.last_scan_at, newest_first)
        newest_first = tuple(gmail_id for gmail_id in newest_first if gmail_id in matching)
    return Listing(newest_first, new.history_id, is_incremental=True)


async def _matching(
    gmail: Gmail, query: str, since: datetime | None, wanted: Collection[GmailMessageId]
) -> set[GmailMessageId]:
    """History knows no search, so the operator's query is asked of a listing over the same time."""
    after = f" after:{int((since - _QUERY_MARGIN).timestamp())}" if since else ""
    return set(await _all_ids(gmail, f"{query} {RECEIVED}{after}")) & set(wanted)


async def _all_ids(gmail: Gmail, query: str) -> tuple[GmailMessageId, ...]:
    ids: list[GmailMessageId] = []
    token = ""
    while True:
        page = await gmail.list_ids(query, token)
        ids.extend(page.ids)
        token = page.next_page_token
        if not token:
            return tuple(dict.fromkeys(ids))
