"""Messages, labels and changes as the Gmail API's JSON: camelCase, 64-bit integers as strings."""

from base64 import urlsafe_b64encode
from email.message import Message as MimeMessage
from typing import Any

from services.sandbox import rfc822
from services.sandbox.history import KINDS, Change
from services.sandbox.labels import Label
from services.sandbox.mailbox import Mailbox, Message

Json = dict[str, Any]


def reference(message: Message) -> Json:
    return {"id": message.id, "threadId": message.thread_id}


def minimal(message: Message) -> Json:
    return {
        **reference(message),
        "labelIds": sorted(message.labels),
        "snippet": message.snippet,
        "sizeEstimate": len(message.raw),
        "historyId": str(message.history_id),
        "internalDate": str(message.internal_date_ms),
    }


def metadata(message: Message, wanted: list[str]) -> Json:
    """Headers only: all of them, or those named, in the message's own order."""
    names = {name.lower() for name in wanted}
    kept = [header for header in message.headers if not names or header.name.lower() in names]
    mime_type = message.header("content-type").split(";")[0].strip().lower() or "text/plain"
    payload: Json = {"mimeType": mime_type}
    if kept:
        payload["headers"] = [header._asdict() for header in kept]
    return {**minimal(message), "payload": payload}


def full(message: Message) -> Json:
    payload = _part(rfc822.structure(message.raw), "")
    payload["headers"] = [header._asdict() for header in message.headers]
    return {**minimal(message), "payload": payload}


def raw(message: Message) -> Json:
    return {**minimal(message), "raw": urlsafe_b64encode(message.raw).decode("ascii")}


def attachment(message: Message, attachment_id: str) -> bytes | None:
    """Content of the part that an attachmentId names."""
    for number, part in enumerate(rfc822.structure(message.raw).walk()):
        if f"ANGjdJ{number:04d}" == attachment_id:
            return rfc822.part_bytes(part)
    return None


def label(mailbox: Mailbox, item: Label, *, counts: bool) -> Json:
    rendered: Json = {"id": item.id, "name": item.name, "type": "system" if item.is_system else "user"}
    rendered.update(item.look)
    if counts:
        messages = mailbox.with_label(item.id)
        unread = [message for message in messages if "UNREAD" in message.labels]
        rendered["messagesTotal"] = len(messages)
        rendered["messagesUnread"] = len(unread)
        rendered["threadsTotal"] = len({message.thread_id for message in messages})
        rendered["threadsUnread"] = len({message.thread_id for message in unread})
    return rendered


def change(item: Change) -> Json:
    message = {"id": item.message_id, "threadId": item.thread_id}
    event: Json = {"message": {**message, "labelIds": list(item.labels_after)}}
    if item.changed_labels:
        event["labelIds"] = list(item.changed_labels)
    return {"id": str(item.id), "messages": [message], KINDS[item.kind]: [event]}


def _part(part: MimeMessage, part_id: str, numbers: list[int] | None = None) -> Json:
    """One node of the MIME tree; `numbers` counts nodes in the order of `walk()`."""
    numbers = numbers if numbers is not None else [0]
    number = numbers[0]
    numbers[0] += 1
    filename = rfc822.filename(part)
    rendered: Json = {"partId": part_id, "mimeType": part.get_content_type(), "filename": filename}
    rendered["headers"] = [
        {"name": name, "value": rfc822.unfolded(value)} for name, value in part.raw_items()
    ]
    if part.is_multipart():
        rendered["body"] = {"size": 0}
        prefix = f"{part_id}." if part_id else ""
        children = [child for child in part.get_payload() if isinstance(child, MimeMessage)]
        rendered["parts"] = [_part(child, f"{prefix}{n}", numbers) for n, child in enumerate(children)]
        return rendered
    content = rfc822.part_bytes(part)
    body: Json = {"size": len(content)}
    if filename:
        body["attachmentId"] = f"ANGjdJ{number:04d}"
    elif content:
        body["data"] = urlsafe_b64encode(content).decode("ascii")
    return {**rendered, "body": body}
