"""Says what a mailbox is for, and so which credentials with a label prefix may use it."""

from dataclasses import dataclass, replace
from typing import Final

from services.common.context import Call
from services.common.errors import denied, invalid
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.records import Mailbox
from services.mail_core.operations.auditing import mailbox_labelled
from services.mail_core.operations.mailbox_access import mailbox_for
from services.mail_core.storage import Store

_MAX_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class LabelMailbox:
    """Safe to repeat: a label that is there already changes nothing and leaves no event."""

    store: Store

    async def __call__(self, call: Call, mailbox_id: str, label: str) -> Mailbox:
        """Label a mailbox. Raises what `UpdateMailbox` of the contract names."""
        check_label(label)
        caller = call.require_caller()
        if not label.startswith(caller.restrictions.label_prefix):
            raise denied("RESTRICTION_LOOSENED", "The label must start with your own label_prefix.")
        async with self.store.team(TeamId(caller.team_id)) as records:
            mailbox = await mailbox_for(records, caller, mailbox_id)
            if mailbox.label == label:
                return mailbox
            await records.mailboxes.set_label(mailbox.id, label)
            records.audit.note(mailbox_labelled(mailbox, call))
        return replace(mailbox, label=label)


def check_label(label: str) -> None:
    """Raise INVALID_ARGUMENT LABEL_INVALID when text is no tidy label."""
    if not label.isprintable() or label != label.strip() or len(label) > _MAX_CHARS:
        message = f"label must be at most {_MAX_CHARS} printable characters, no space around them."
        raise invalid("LABEL_INVALID", message, field="label")
