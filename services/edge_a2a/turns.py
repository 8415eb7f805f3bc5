"""One message's turn: which task it belongs to, and what it asks that task to do."""

import uuid
from dataclasses import dataclass
from typing import Final

from a2a.types.a2a_pb2 import Message
from a2a.utils.errors import InvalidParamsError

from services.edge_a2a.messages import Asked
from services.edge_a2a.operations import context_id_of, task_id_for
from services.edge_a2a.task_store import Owner
from services.edge_a2a.tasks import Draft

MAX_ID_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Turn:
    """What one message asks for, on behalf of whom, and the task that it makes or goes on with."""

    owner: Owner
    draft: Draft
    asked: Asked | None


def turn_of(message: Message, asked: Asked | None, owner: Owner, before: Draft | None = None) -> Turn:
    """Take a message's turn; `before` is the waiting task that it answers. Raises InvalidParamsError."""
    for name, text in (("messageId", message.message_id), ("contextId", message.context_id)):
        if len(text) > MAX_ID_CHARS:
            raise InvalidParamsError(f"{name} is longer than {MAX_ID_CHARS} characters.")
    if before is None:
        before = _new_draft(message, asked, owner)
    said = Message()
    said.CopyFrom(message)
    said.task_id, said.context_id = before.task_id, before.context_id
    return Turn(owner, Draft(before.task_id, before.context_id, (*before.history, said)), asked)


def _new_draft(message: Message, asked: Asked | None, owner: Owner) -> Draft:
    if asked is not None and asked.action.is_operation:
        task_id = task_id_for(owner, message.message_id, message.context_id)
    else:
        task_id = str(uuid.uuid4())
    return Draft(task_id, message.context_id or context_id_of(task_id))
