"""Reads Gmail's JSON of a message into the domain's message."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.message import Headers, Message

FIELDS: Final = "id,threadId,labelIds,internalDate,sizeEstimate,payload/headers"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# JSON can say these, a database cannot keep them: one such mail must not stop a scan.
_NOT_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


def read_message(resource: Any) -> Message:
    """Read a message in `metadata` format. Raises ValueError when it is not one."""
    try:
        return Message(
            id=GmailMessageId(_text(resource["id"])),
            thread_id=_text(resource.get("threadId", "")),
            received_at=_EPOCH + timedelta(milliseconds=int(resource["internalDate"])),
            label_ids=frozenset(map(_text, resource.get("labelIds", ()))),
            headers=Headers.of(_headers(resource.get("payload", {}))),
            size=int(resource.get("sizeEstimate", 0)),
        )
    except (AttributeError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("answer is not a message") from error


def _headers(payload: dict[str, Any]) -> list[tuple[str, str]]:
    return [(_text(header["name"]), _text(header.get("value", ""))) for header in payload.get("headers", ())]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", value)
