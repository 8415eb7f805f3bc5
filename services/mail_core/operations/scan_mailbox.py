"""Reads new mail, triages it, labels it, and counts the lists that fill the mailbox.

Safe to run again anywhere: labels first (adding a label twice is once), then the rows; a message with a
row is not read again. The cursor moves only when everything before it has been read.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.common.link_safety import LinkPolicy
from services.mail_core.domain.findings import findings, seen
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.message import Message
from services.mail_core.domain.operation import CategoryCount, Phase, Progress, ScanReport
from services.mail_core.domain.records import Mailbox, Operation
from services.mail_core.domain.subscription import SubscriptionKey, settle
from services.mail_core.domain.triage import Rules, categorise
from services.mail_core.operations.auditing import labels_changed, labels_changing
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.listing import Listing, list_new_mail
from services.mail_core.operations.run_operation import Reporter
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.ports import Gmail, Priority
from services.mail_core.storage import Clock, Store

CHUNK: Final = 100
"""Messages between two reports of progress; four batches at Gmail."""
NOT_RECEIVED: Final = frozenset({"SENT", "DRAFT", "CHAT"})


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What an operator chooses. `query` narrows scans; `archive` takes labelled mail out of the inbox."""

    query: str = ""
    max_messages: int = 5_000
    archive: bool = False


@dataclass(frozen=True, slots=True)
class ScanMailbox:
    """The work of a scan operation."""

    store: Store
    grants: GoogleGrants
    targets: UnsubscribeTargets
    rules: Rules
    links: LinkPolicy
    settings: ScanSettings
    clock: Clock

    async def __call__(self, operation: Operation, report: Reporter) -> ScanReport:
        """Scan the operation's mailbox."""
        async with self.store.team(operation.team_id) as records:
            mailbox = await records.mailboxes.find(operation.mailbox_id)
        if mailbox is None:
            return ScanReport()
        gmail = await self.grants.gmail(mailbox, Priority.BACKGROUND)
        run = _ScanRun(self, operation, mailbox, gmail, report)
        return await run.run()


class _ScanRun:
    """One scan on its way."""

    def __init__(
        self, scan: ScanMailbox, operation: Operation, mailbox: Mailbox, gmail: Gmail, report: Reporter
    ) -> None:
        self._scan = scan
        self._operation = operation
        self._mailbox = mailbox
        self._gmail = gmail
        self._report = report
        self._is_dry = bool(operation.arguments["dry_run"])
        self._max = int(operation.arguments["max_messages"]) or scan.settings.max_messages
        self._counts: Counter[str] = Counter()
        self._lists: set[SubscriptionKey] = set()
        self._label_ids: dict[str, str] = {}
        self._done = ScanReport(dry_run=self._is_dry)

    async def run(self) -> ScanReport:
        await self._report(Progress(0, 0, Phase.LISTING))
        listing = await list_new_mail(self._gmail, self._mailbox, self._scan.settings.query)
        unread = await self._unread(listing.ids)
        ids = unread[: self._max]
        self._done = replace(
            self._done,
            incremental=listing.is_incremental,
            listed_count=len(listing.ids),
            partial=len(ids) < len(unread),
        )
        for start in range(0, len(ids), CHUNK):
            await self._tell(Progress(start, len(ids), Phase.FETCHING))
            await self._read(ids[start : start + CHUNK])
        await self._tell(Progress(len(ids), len(ids), Phase.FETCHING))
        if not self._is_dry:
            await self._finish(listing)
        return self._summary()

    async def _tell(self, progress: Progress) -> None:
        self._report.so_far = replace(self._summary(), partial=True)
        await self._report(progress)

    async def _unread(self, ids: Sequence[GmailMessageId]) -> list[GmailMessageId]:
        async with self._scan.store.team(self._operation.team_id) as records:
            return await records.subscriptions.unread_ids(self._mailbox.id, ids)

    async def _read(self, ids: Sequence[GmailMessageId]) -> None:
        result = await self._gmail.get_metadata(ids)
        received = [message for message in result.messages if not message.label_ids & NOT_RECEIVED]
        triaged = [(message, categorise(message, self._scan.rules)) for message in received]
        found = findings(triaged, self._scan.links, self._mailbox.email_address)
        if not self._is_dry:
            await self._label(triaged)
            rows = [seen(message, category) for message, category in triaged]
            async with self._scan.store.team(self._operation.team_id) as records:
                lists = await records.subscriptions.identify(self._mailbox.id, [each.key for each in found])
                sealed = await self._scan.targets.seal(found, lists, self._operation.team_id)
                await records.subscriptions.record(self._mailbox.id, rows, found, sealed)
        self._lists.update(finding.key for finding in found)
        self._counts.update(category for _, category in triaged)
        self._done = replace(
            self._done,
            scanned_count=self._done.scanned_count + len(triaged),
            failed_count=self._done.failed_count + len(result.failed_ids),
            partial=self._done.partial or bool(result.failed_ids),
        )

    async def _label(self, triaged: Sequence[tuple[Message, str]]) -> None:
        for category in dict.fromkeys(category for _, category in triaged):
            label = self._scan.rules.label_of(category)
            if label:
                ids = [message.id for message, its_category in triaged if its_category == category]
                await self._add_label(ids, await self._label_id(label))

    async def _label_id(self, label: str) -> str:
        if label not in self._label_ids:
            self._label_ids[label] = await self._gmail.ensure_label(label)
        return self._label_ids[label]

    async def _add_label(self, ids: list[GmailMessageId], label_id: str) -> None:
        remove = ["INBOX"] if self._scan.settings.archive else []
        async with self._scan.store.team(self._operation.team_id) as records:
            change = await records.operations.note_label_change(self._operation, ids, [label_id], remove)
            records.audit.note(labels_changing(self._operation, len(ids), archived=bool(remove)))
        await self._gmail.batch_modify(ids, [label_id], remove)
        async with self._scan.store.team(self._operation.team_id) as records:
            await records.operations.confirm_label_change(change)
            records.audit.note(labels_changed(self._operation, len(ids), archived=bool(remove)))
        self._done = replace(self._done, labelled_count=self._done.labelled_count + len(ids))

    async def _finish(self, listing: Listing) -> None:
        now = self._scan.clock()
        cursor = self._mailbox.history_id if self._done.partial else listing.cursor
        async with self._scan.store.team(self._operation.team_id) as records:
            for subscription in await records.subscriptions.awaiting_silence(self._mailbox.id):
                asked_at = subscription.asked_at or now
                state = settle(subscription.state, asked_at, subscription.last_seen_at, now)
                if state is not subscription.state:
                    await records.subscriptions.settle(subscription.id, subscription.state, state)
            await records.mailboxes.finish_scan(self._mailbox.id, cursor, now)

    def _summary(self) -> ScanReport:
        rules = self._scan.rules
        categories = tuple(
            CategoryCount(name, rules.label_of(name), self._counts[name]) for name in rules.names
        )
        return replace(
            self._done,
            categories=categories,
            subscription_count=len(self._lists),
            quota_units=self._gmail.units_spent,
        )
