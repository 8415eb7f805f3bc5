"""Gmail's users.getProfile, labels, history and settings.sendAs."""

import re
from typing import Any

from services.sandbox import rendering
from services.sandbox.arguments import Body
from services.sandbox.errors import invalid
from services.sandbox.google_api import Call, Route
from services.sandbox.history import KINDS, Change

_VISIBILITIES = {
    "messageListVisibility": {"show", "hide"},
    "labelListVisibility": {"labelShow", "labelShowIfUnread", "labelHide"},
}


def get_profile(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    return {
        "emailAddress": mailbox.address,
        "messagesTotal": len(mailbox.messages),
        "threadsTotal": len({message.thread_id for message in mailbox.messages.values()}),
        "historyId": str(mailbox.history.current),
    }


def list_labels(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    return {
        "labels": [rendering.label(mailbox, label, counts=False) for label in mailbox.labels.by_id.values()]
    }


def get_label(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    return rendering.label(mailbox, mailbox.labels.get(call.path["id"]), counts=True)


def create_label(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    label = mailbox.labels.create(call.body.text("name"), _look(call.body))
    return rendering.label(mailbox, label, counts=False)


def patch_label(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    label = mailbox.labels.patch(call.path["id"], call.body.text("name"), _look(call.body))
    return rendering.label(mailbox, label, counts=False)


def delete_label(call: Call) -> None:
    call.world.mailbox.delete_label(call.path["id"])


def list_history(call: Call) -> dict[str, Any]:
    """Changes after `startHistoryId`, oldest first; the page token is the last id of the page before."""
    mailbox = call.world.mailbox
    start = _history_id(call.query.text("startHistoryId"))
    size = call.query.integer("maxResults", 100, low=1, high=500)
    kinds = call.query.many("historyTypes") or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        raise invalid(f"Invalid value at 'history_types', \"{min(unknown)[:40]}\"")
    label = call.query.text("labelId")
    after = max(start, _page_start(call.query.text("pageToken")))
    changes = [change for change in mailbox.history.since(start) if change.id > after]
    wanted = [change for change in changes if change.kind in kinds and _concerns(change, label)]
    answer: dict[str, Any] = {"historyId": str(mailbox.history.current)}
    if wanted:
        answer["history"] = [rendering.change(change) for change in wanted[:size]]
    if len(wanted) > size:
        answer["nextPageToken"] = str(wanted[size - 1].id)
    return answer


def list_send_as(call: Call) -> dict[str, Any]:
    mailbox = call.world.mailbox
    own = {
        "sendAsEmail": mailbox.address,
        "displayName": mailbox.display_name,
        "replyToAddress": "",
        "signature": "",
        "isPrimary": True,
        "isDefault": True,
    }
    aliases = [
        {
            **own,
            "sendAsEmail": alias,
            "isPrimary": False,
            "isDefault": False,
            "verificationStatus": "accepted",
        }
        for alias in mailbox.aliases
    ]
    return {"sendAs": [own, *aliases]}


def _look(body: Body) -> dict[str, object]:
    look: dict[str, object] = {}
    for name, allowed in _VISIBILITIES.items():
        value = body.text(name)
        if value is not None and value not in allowed:
            raise invalid(f"Invalid value at 'label.{name}', \"{value[:40]}\"")
        if value is not None:
            look[name] = value
    color = body.object("color")
    if color is not None:
        look["color"] = {
            name: color.text(name) for name in ("textColor", "backgroundColor") if name in color.values
        }
    return look


def _history_id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise invalid("Missing or invalid startHistoryId")
    return int(text)


def _page_start(token: str) -> int:
    if token and not re.fullmatch(r"[0-9]{1,19}", token):
        raise invalid("Invalid pageToken")
    return int(token or 0)


def _concerns(change: Change, label: str) -> bool:
    return not label or label in change.labels_after or label in change.changed_labels


_USER = "/gmail/v1/users/{userId}"
ROUTES = [
    Route("gmail.users.getProfile", "GET", f"{_USER}/profile", get_profile),
    Route("gmail.users.labels.list", "GET", f"{_USER}/labels", list_labels),
    Route("gmail.users.labels.create", "POST", f"{_USER}/labels", create_label),
    Route("gmail.users.labels.get", "GET", f"{_USER}/labels/{{id}}", get_label),
    Route("gmail.users.labels.patch", "PATCH", f"{_USER}/labels/{{id}}", patch_label),
    Route("gmail.users.labels.patch", "PUT", f"{_USER}/labels/{{id}}", patch_label),
    Route("gmail.users.labels.delete", "DELETE", f"{_USER}/labels/{{id}}", delete_label),
    Route("gmail.users.history.list", "GET", f"{_USER}/history", list_history),
    Route("gmail.users.settings.sendAs.list", "GET", f"{_USER}/settings/sendAs", list_send_as),
]
