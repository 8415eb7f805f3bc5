"""The team's mailboxes in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.errors import exhausted
from services.mail_core.adapters.tables import mailboxes
from services.mail_core.domain.ids import MailboxId, TeamId
from services.mail_core.domain.records import Mailbox, MailboxState
from services.mail_core.storage import ConnectedAccount

_LOCK_TEAM = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('mailboxes:' || :team_id, 0))")
_QUOTA_RETRY_S = 3_600.0


@dataclass(frozen=True, slots=True)
class PostgresMailboxes:
    """Implements `storage.Mailboxes` within one transaction of one team."""

    connection: AsyncConnection
    team_id: TeamId

    async def list(self, limit: int, after: MailboxId | None = None) -> list[Mailbox]:
        """List them by id, beginning behind `after`."""
        query = mailboxes.select().order_by(mailboxes.c.id).limit(limit)
        if after is not None:
            query = query.where(mailboxes.c.id > after)
        return [_mailbox(row) for row in await self.connection.execute(query)]

    async def find(self, mailbox_id: MailboxId) -> Mailbox | None:
        """Give one, or None."""
        query = mailboxes.select().where(mailboxes.c.id == mailbox_id)
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else _mailbox(row)

    async def of_account(self, email_address: str) -> Mailbox | None:
        """Give an account's, or None. Others of the team that ask this wait for our commit."""
        await self.connection.execute(_LOCK_TEAM, {"team_id": self.team_id})
        query = mailboxes.select().where(mailboxes.c.email_address == email_address)
        row = (await self.connection.execute(query)).one_or_none()
        return None if row is None else _mailbox(row)

    async def connect(
        self, account: ConnectedAccount, grant_sealed: bytes, max_mailboxes: int | None = None
    ) -> Mailbox:
        """Keep a grant for an account. Raises AppError MAILBOX_QUOTA."""
        if max_mailboxes is not None:
            await self._check_quota(account.email_address, max_mailboxes)
        kept: dict[str, object] = {"grant_sealed": grant_sealed, "state": MailboxState.ACTIVE}
        if account.label is not None:
            kept["label"] = account.label
        statement = (
            insert(mailboxes)
            .values(id=account.id, team_id=self.team_id, email_address=account.email_address, **kept)
            .on_conflict_do_update(index_elements=["id"], set_=kept)
            .returning(*mailboxes.c)
        )
        return _mailbox((await self.connection.execute(statement)).one())

    async def _check_quota(self, email_address: str, max_mailboxes: int) -> None:
        """See that there is room for one more. Others of the team that connect wait for our commit."""
        await self.connection.execute(_LOCK_TEAM, {"team_id": self.team_id})
        others = sa.select(sa.func.count()).select_from(mailboxes)
        known = others.where(mailboxes.c.email_address == email_address)
        if (await self.connection.execute(known)).scalar_one():
            return
        if (await self.connection.execute(others)).scalar_one() >= max_mailboxes:
            message = f"The plan allows {max_mailboxes} mailboxes."
            raise exhausted("MAILBOX_QUOTA", message, retry_after_s=_QUOTA_RETRY_S)

    async def set_label(self, mailbox_id: MailboxId, label: str) -> None:
        """Say what it is for."""
        await self._update(mailbox_id, label=label)

    async def set_state(self, mailbox_id: MailboxId, state: MailboxState) -> None:
        """Note whether Google still accepts the grant."""
        await self._update(mailbox_id, state=state)

    async def finish_scan(self, mailbox_id: MailboxId, history_id: str, at: datetime) -> None:
        """Move the cursor: everything before it has been read."""
        await self._update(mailbox_id, history_id=history_id, last_scan_at=at)

    async def _update(self, mailbox_id: MailboxId, **values: object) -> None:
        await self.connection.execute(
            sa.update(mailboxes).where(mailboxes.c.id == mailbox_id).values(**values)
        )


def _mailbox(row: sa.Row) -> Mailbox:
    return Mailbox(
        id=row.id,
        team_id=row.team_id,
        email_address=row.email_address,
        state=MailboxState(row.state),
        created_at=row.created_at,
        grant_sealed=row.grant_sealed,
        history_id=row.history_id or "",
        last_scan_at=row.last_scan_at,
        message_count=row.message_count,
        subscription_count=row.subscription_count,
        label=row.label,
    )
