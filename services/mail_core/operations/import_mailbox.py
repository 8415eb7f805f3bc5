"""Connects a mailbox from the files of the personal agent."""

import uuid
from dataclasses import dataclass

from services.common.errors import invalid
from services.mail_core.domain.ids import MailboxId, TeamId
from services.mail_core.domain.records import Mailbox
from services.mail_core.domain.state_files import targets_in
from services.mail_core.domain.target import TargetUse
from services.mail_core.operations.auditing import mailbox_imported
from services.mail_core.operations.google_grants import GoogleGrants
from services.mail_core.operations.label_mailbox import check_label
from services.mail_core.operations.mailbox_access import is_uuid
from services.mail_core.storage import ConnectedAccount, Store


@dataclass(frozen=True, slots=True)
class StateFiles:
    """Contents of the personal agent's files; all but the first may be empty."""

    token_json: str
    unsubscribed_methods_json: str = ""
    sent_unsubscribe_links_json: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    mailbox: Mailbox
    is_replaced: bool
    unsubscribe_count: int


@dataclass(frozen=True, slots=True)
class ImportMailbox:
    """Safe to repeat: the same account again replaces the grant and keeps everything else."""

    store: Store
    grants: GoogleGrants

    async def __call__(
        self, team_id: str, files: StateFiles, max_mailboxes: int | None = None, label: str | None = None
    ) -> Imported:
        """Connect, within the plan when it is told. Raises what `ImportMailbox` of the contract names."""
        if not is_uuid(team_id):
            raise invalid("TEAM_ID_INVALID", "team_id must be a UUID.", field="team_id")
        if label is not None:
            check_label(label)
        unsubscribed = targets_in(files.unsubscribed_methods_json, "unsubscribed_methods_json")
        shown = targets_in(files.sent_unsubscribe_links_json, "sent_unsubscribe_links_json")
        grant = self.grants.google.read_grant(files.token_json)
        profile = await self.grants.google.gmail(grant).profile()
        address = profile.email_address.lower()
        async with self.store.team(TeamId(team_id)) as records:
            known = await records.mailboxes.of_account(address)
            account = ConnectedAccount(known.id if known else _new_id(), address, label)
            sealed = await self.grants.seal(files.token_json, TeamId(team_id), account.id)
            mailbox = await records.mailboxes.connect(account, sealed, max_mailboxes)
            count = await records.ledger.import_used(mailbox.id, unsubscribed, TargetUse.UNSUBSCRIBED)
            await records.ledger.import_used(mailbox.id, shown, TargetUse.SHOWN)
            records.audit.note(mailbox_imported(mailbox, replaced=known is not None, unsubscribe_count=count))
        return Imported(mailbox, known is not None, count)


def _new_id() -> MailboxId:
    return MailboxId(str(uuid.uuid4()))
