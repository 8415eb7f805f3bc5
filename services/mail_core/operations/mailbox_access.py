"""Which mailbox a caller means, and whether they may use it."""

import uuid

from services.common.errors import denied, invalid, not_found
from services.common.identity import Caller
from services.mail_core.domain.ids import MailboxId
from services.mail_core.domain.records import Mailbox
from services.mail_core.storage import Records

ONLY_MAILBOX = ("", "me")


def is_uuid(text: str) -> bool:
    """Whether text is a UUID in its usual form; anything else cannot be an id of ours."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


async def mailbox_for(records: Records, caller: Caller, mailbox_id: str) -> Mailbox:
    """Find the mailbox that a caller means; empty and `me` mean the only one that they may use.

    Raises AppError: MAILBOX_NOT_FOUND, MAILBOX_REQUIRED, MAILBOX_NOT_ALLOWED.
    """
    if mailbox_id in ONLY_MAILBOX:
        return await _only_mailbox(records, caller)
    mailbox = await records.mailboxes.find(MailboxId(mailbox_id)) if is_uuid(mailbox_id) else None
    if mailbox is not None and may_use(caller, mailbox):
        return mailbox
    # One answer, whether it exists or not: a narrowed credential must not learn which mailboxes there are.
    if caller.restrictions.mailbox_ids or caller.restrictions.label_prefix:
        raise denied("MAILBOX_NOT_ALLOWED", "This credential may not use that mailbox.")
    raise not_found("MAILBOX_NOT_FOUND", "There is no such mailbox.")


async def _only_mailbox(records: Records, caller: Caller) -> Mailbox:
    usable = [mailbox for mailbox in await records.mailboxes.list(limit=200) if may_use(caller, mailbox)]
    if not usable:
        raise not_found("MAILBOX_NOT_FOUND", "No mailbox is connected.")
    if len(usable) > 1:
        raise invalid("MAILBOX_REQUIRED", "There are several mailboxes: say which.", field="mailbox_id")
    return usable[0]


def may_use(caller: Caller, mailbox: Mailbox) -> bool:
    """Whether the mailbox is within what the caller's credential is narrowed to."""
    narrowed = caller.restrictions
    is_listed = not narrowed.mailbox_ids or mailbox.id in narrowed.mailbox_ids
    return is_listed and mailbox.label.startswith(narrowed.label_prefix)
