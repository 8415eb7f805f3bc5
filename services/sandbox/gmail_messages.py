"""Gmail's users.messages and users.threads."""

from base64 import urlsafe_b64encode
from itertools import islice
from typing import Any

from services.sandbox import rendering, search
from services.sandbox.errors import invalid, not_found
from services.sandbox.google_api import Call, Route
from services.sandbox.mailbox import Mailbox, Message
from services.sandbox.paging import Position, read_position, write_position
from services.sandbox.sending import send_message

_FORMATS = ("full", "metadata", "minimal", "raw")
_MAX_BATCH = 1_000
_HIDDEN = {"SPAM", "TRASH"}


def list_messages(call: Call) -> dict[str, Any]:
    size = call.query.integer("maxResults", 100, low=1, high=500)
    found = list(_matching(call, read_position(call.query.text("pageToken"))))
    page = found[:size]
    answer: dict[str, Any] = {"resultSizeEstimate": min(len(found), 201)}
    if page:
        answer["messages"] = [rendering.reference(message) for message in page]
    if len(found) > size:
        answer["nextPageToken"] = write_position(call.world.mailbox.position(page[-1]))
    return answer


def list_threads(call: Call) -> dict[str, Any]:
    size = call.query.integer("maxResults", 100, low=1, high=500)
    newest: dict[str, Message] = {}
    for message in _matching(call, None):
        newest.setdefault(message.thread_id, message)
    start = read_position(call.query.text("pageToken"))
    position = call.world.mailbox.position
    rest = [message for message in newest.values() if start is None or position(message) > start]
    page = list(islice(rest, size))
    answer: dict[str, Any] = {"resultSizeEstimate": min(len(rest), 201)}
    if page:
        answer["threads"] = [_thread_summary(message) for message in page]
    if len(rest) > size:
        answer["nextPageToken"] = write_position(position(page[-1]))
    return answer


def get_message(call: Call) -> dict[str, Any]:
    message = call.world.mailbox.get(call.path["id"])
    return _rendered(call, message)


def get_thread(call: Call) -> dict[str, Any]:
    messages = call.world.mailbox.thread(call.path["id"])
    newest = max(message.history_id for message in messages)
    rendered = [_rendered(call, message) for message in messages]
    return {"id": messages[0].thread_id, "historyId": str(newest), "messages": rendered}


def get_attachment(call: Call) -> dict[str, Any]:
    message = call.world.mailbox.get(call.path["messageId"])
    content = rendering.attachment(message, call.path["id"])
    if content is None:
        raise not_found()
    return {"size": len(content), "data": urlsafe_b64encode(content).decode("ascii")}


def send(call: Call) -> dict[str, Any]:
    raw = call.body.bytes("raw")
    if not raw:
        raise invalid("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    message = send_message(call.world, raw, call.body.text("threadId"))
    return {**rendering.reference(message), "labelIds": sorted(message.labels)}


def modify(call: Call) -> dict[str, Any]:
    message = call.world.mailbox.get(call.path["id"])
    _relabel(call, [message])
    return {**rendering.reference(message), "labelIds": sorted(message.labels)}


def batch_modify(call: Call) -> None:
    """Label many. Unknown ids are passed over: Gmail gives no result per message."""
    ids = call.body.strings("ids")
    if not ids:
        raise invalid("No message ids specified")
    if len(ids) > _MAX_BATCH:
        raise invalid(f"Too many message ids: {len(ids)}, at most {_MAX_BATCH} are allowed")
    mailbox = call.world.mailbox
    _relabel(call, [mailbox.messages[name] for name in dict.fromkeys(ids) if name in mailbox.messages])


def trash(call: Call) -> dict[str, Any]:
    message = call.world.mailbox.get(call.path["id"])
    call.world.mailbox.relabel(message, ["TRASH"], ["INBOX", "SPAM"])
    return rendering.minimal(message)


def untrash(call: Call) -> dict[str, Any]:
    message = call.world.mailbox.get(call.path["id"])
    call.world.mailbox.relabel(message, [], ["TRASH"])
    return rendering.minimal(message)


def _matching(call: Call, after: Position | None) -> "list[Message]":
    mailbox = call.world.mailbox
    asked = search.parse(call.query.text("q"), mailbox, call.world.clock.now())
    wanted = set(_known_labels(mailbox, call.query.many("labelIds")))
    opens = asked.opens_spam_and_trash or call.query.boolean("includeSpamTrash") or bool(wanted & _HIDDEN)
    return [
        message
        for message in mailbox.newest_first(after)
        if wanted <= message.labels and (opens or not message.labels & _HIDDEN) and asked.matches(message)
    ]


def _known_labels(mailbox: Mailbox, ids: list[str]) -> list[str]:
    for label_id in ids:
        if label_id not in mailbox.labels.by_id:
            raise invalid(f"Invalid label: {label_id[:100]}")
    return ids


def _rendered(call: Call, message: Message) -> dict[str, Any]:
    wanted = call.query.text("format", "full").lower()
    if wanted not in _FORMATS:
        raise invalid(f"Invalid value at 'format' (type.googleapis.com/gmail.v1.Format), \"{wanted[:40]}\"")
    if wanted == "metadata":
        return rendering.metadata(message, call.query.many("metadataHeaders"))
    return {"full": rendering.full, "minimal": rendering.minimal, "raw": rendering.raw}[wanted](message)


def _relabel(call: Call, messages: list[Message]) -> None:
    add, remove = call.body.strings("addLabelIds"), call.body.strings("removeLabelIds")
    call.world.mailbox.labels.check_change(add, remove)
    if not add and not remove:
        raise invalid("No label add or removes specified")
    for message in messages:
        call.world.mailbox.relabel(message, add, remove)


def _thread_summary(message: Message) -> dict[str, Any]:
    return {"id": message.thread_id, "snippet": message.snippet, "historyId": str(message.history_id)}


_USER = "/gmail/v1/users/{userId}"
ROUTES = [
    Route("gmail.users.messages.list", "GET", f"{_USER}/messages", list_messages),
    Route("gmail.users.messages.send", "POST", f"{_USER}/messages/send", send),
    Route("gmail.users.messages.batchModify", "POST", f"{_USER}/messages/batchModify", batch_modify),
    Route("gmail.users.messages.get", "GET", f"{_USER}/messages/{{id}}", get_message),
    Route("gmail.users.messages.modify", "POST", f"{_USER}/messages/{{id}}/modify", modify),
    Route("gmail.users.messages.trash", "POST", f"{_USER}/messages/{{id}}/trash", trash),
    Route("gmail.users.messages.untrash", "POST", f"{_USER}/messages/{{id}}/untrash", untrash),
    Route(
        "gmail.users.messages.attachments.get",
        "GET",
        f"{_USER}/messages/{{messageId}}/attachments/{{id}}",
        get_attachment,
    ),
    Route("gmail.users.threads.list", "GET", f"{_USER}/threads", list_threads),
    Route("gmail.users.threads.get", "GET", f"{_USER}/threads/{{id}}", get_thread),
]
