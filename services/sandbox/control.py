"""The control API under /sandbox/: what tests and curious people may see and order. It needs no credentials.

GET  /sandbox/summary   counts of messages, labels and lists, and quota units spent
GET  /sandbox/token     content of a token.json for this account
GET  /sandbox/requests  what reached the senders (?list=NAME; &count=N&wait_s=5 waits until there are N)
POST /sandbox/deliver   {"list": NAME, "count": N} or {"raw": TEXT} or {"raw_base64url": …, "labels": […]}
POST /sandbox/faults    see `order_faults`
POST /sandbox/events    {"calendar", "summary", "start", "end", "tentative", "transparent"}
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from services.sandbox.arguments import Body, Query
from services.sandbox.calendars import Event
from services.sandbox.errors import ApiError, invalid, not_found
from services.sandbox.faults import MAX_DELAY_S, Fault
from services.sandbox.google_app import read_body
from services.sandbox.list_mail import compose
from services.sandbox.lists import LISTS, MailingList
from services.sandbox.mailbox import Message
from services.sandbox.seed import labels_of
from services.sandbox.senders import find_list
from services.sandbox.world import World

_LIMIT_BYTES = 36 << 20
_MAX_DELIVERED = 1_000

JsonHandler = Callable[[web.Request], Awaitable[Any]]


class Control:
    """Handlers of the control API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/sandbox/summary", _json(self.summary))
        app.router.add_get("/sandbox/token", _json(self.token))
        app.router.add_get("/sandbox/requests", _json(self.requests))
        app.router.add_post("/sandbox/deliver", _json(self.deliver))
        app.router.add_post("/sandbox/faults", _json(self.order_faults))
        app.router.add_post("/sandbox/events", _json(self.add_event))

    async def summary(self, _: web.Request) -> dict[str, Any]:
        mailbox, ledger = self._world.mailbox, self._world.ledger
        counts = Counter(label for message in mailbox.messages.values() for label in message.labels)
        labels = [
            {"id": label.id, "name": label.name, "messages": counts[label.id]}
            for label in mailbox.labels.by_id.values()
        ]
        return {
            "email_address": mailbox.address,
            "messages": len(mailbox.messages),
            "labels": labels,
            "lists": [self._list_summary(item) for item in LISTS],
            "sender_requests": len(self._world.senders.requests),
            "quota": {
                "units_per_minute": ledger.table.units_per_minute,
                "spent_units": ledger.spent_units,
                "refused_calls": ledger.refused_calls,
                "calls": dict(ledger.calls),
            },
        }

    async def token(self, request: web.Request) -> dict[str, Any]:
        return self._world.grants.token_file(f"http://{request.host}/token")

    async def requests(self, request: web.Request) -> dict[str, Any]:
        """What reached the senders; with `count`, wait until there are that many, `wait_s` at most."""
        query = Query({name: request.query.getall(name) for name in request.query})
        wanted = query.text("list") or None
        wait_s = query.integer("wait_s", 5, low=0, high=60)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._world.senders.wait_for(wanted, query.integer("count", 0, low=0, high=100_000))
        return {"requests": [item.json() for item in self._world.senders.recorded(wanted)]}

    async def deliver(self, request: web.Request) -> dict[str, Any]:
        """Bring new mail. A list that was ended sends nothing, unless it is one that ignores."""
        body = Body.parse(await read_body(request, _LIMIT_BYTES))
        name = body.text("list")
        if name is not None:
            mailing_list = _known(name)
            delivered = self._deliver_list(mailing_list, body.integer("count", 1, low=1, high=_MAX_DELIVERED))
        else:
            delivered = [self._deliver_raw(body)]
        return {"delivered": [{"id": item.id, "threadId": item.thread_id} for item in delivered]}

    async def order_faults(self, request: web.Request) -> dict[str, Any]:
        """Order trouble, or end it, by any of these fields in one object.

        api: list of {"method": "gmail.users.messages.get" or a glob, or "token"; "count": 1;
             "status", "reason", "retry_after_s": an error; "delay_s": wait first;
             "drop": close the connection; "acts": do it, then suffer, so that only the answer is lost}
        revoke_grant, restore_grant, expire_access_tokens, forget_history, clear: true
        hold_senders, release_senders: list of list names, or ["*"] for all
        calendar_errors: {"calendar id": "internalError"}; null ends it
        """
        body = Body.parse(await read_body(request, 1 << 20))
        faults = [_fault(item) for item in body.objects("api")]
        held = [name if name == "*" else _known(name).name for name in body.strings("hold_senders")]
        calendars = body.object("calendar_errors") or Body({})
        reasons = {name: calendars.text(name) for name in calendars.values}
        self._switch(body)
        self._world.faults.waiting.extend(faults)
        for name in held:
            self._world.faults.hold(name)
        for name in body.strings("release_senders"):
            self._world.faults.release(None if name == "*" else name)
        for name, reason in reasons.items():
            self._fail_calendar(name, reason)
        return {"waiting": len(self._world.faults.waiting), "held": sorted(self._world.faults.held_senders)}

    async def add_event(self, request: web.Request) -> dict[str, Any]:
        body = Body.parse(await read_body(request, 1 << 20))
        calendar = self._world.calendars.find(body.text("calendar") or "primary")
        if calendar is None:
            raise not_found()
        start, end = _moment(body, "start"), _moment(body, "end")
        if isinstance(start, datetime) is not isinstance(end, datetime) or end <= start:
            raise invalid("'end' is not after 'start', or only one of them is a date")
        flags = {"is_tentative": body.boolean("tentative"), "is_transparent": body.boolean("transparent")}
        calendar.events.append(Event(body.text("summary") or "Event", start, end, **flags))
        return {"calendar": calendar.id, "events": len(calendar.events)}

    def _switch(self, body: Body) -> None:
        world = self._world
        if body.boolean("clear"):
            world.faults.clear()
            world.calendars.failing.clear()
        if body.boolean("revoke_grant"):
            world.grants.revoke()
        if body.boolean("restore_grant"):
            world.grants.is_revoked = False
        if body.boolean("expire_access_tokens"):
            world.grants.expire_access_tokens()
        if body.boolean("forget_history"):
            world.mailbox.history.forget()

    def _fail_calendar(self, name: str, reason: str | None) -> None:
        if reason is None:
            self._world.calendars.failing.pop(name, None)
        else:
            self._world.calendars.failing[name] = reason

    def _deliver_list(self, mailing_list: MailingList, count: int) -> list[Message]:
        world = self._world
        if mailing_list.name in world.senders.ended:
            return []
        to = world.senders.addressee(mailing_list)
        delivered: list[Message] = []
        for _ in range(count):
            now = world.clock.now()
            raw = compose(mailing_list, to, world.senders.next_number(mailing_list), now)
            delivered.append(world.mailbox.add(raw, labels_of(mailing_list), now))
        return delivered

    def _deliver_raw(self, body: Body) -> Message:
        text = body.text("raw")
        raw = text.encode("utf-8", "surrogatepass") if text is not None else body.bytes("raw_base64url")
        if not raw:
            raise invalid("'list', 'raw' or 'raw_base64url' is needed")
        labels = body.strings("labels") or ["INBOX", "UNREAD"]
        for label in labels:
            self._world.mailbox.labels.get(label)
        return self._world.mailbox.add(raw, labels, self._world.clock.now())

    def _list_summary(self, mailing_list: MailingList) -> dict[str, Any]:
        return {
            "name": mailing_list.name,
            "list_id": mailing_list.list_id,
            "senders": list(mailing_list.senders),
            "ended": mailing_list.name in self._world.senders.ended,
            "answer": mailing_list.answer,
            "expected": mailing_list.expected,
            "note": mailing_list.note,
        }


def _known(name: str) -> MailingList:
    mailing_list = find_list(name)
    if mailing_list is None:
        raise not_found(f"There is no list {name[:100]!r}")
    return mailing_list


def _fault(item: Body) -> Fault:
    status = item.integer("status", 0, low=400, high=599) or None
    if status and status not in {known.value for known in HTTPStatus}:
        raise invalid(f"Invalid value at 'status': {status} is no HTTP status")
    return Fault(
        method=item.text("method") or "*",
        count=item.integer("count", 1, low=1, high=1_000_000),
        status=status,
        reason=item.text("reason"),
        retry_after_s=item.number("retry_after_s", None, low=0, high=86_400),
        delay_s=item.number("delay_s", 0, low=0, high=MAX_DELAY_S) or 0,
        drop=item.boolean("drop"),
        acts=item.boolean("acts"),
    )


def _moment(body: Body, name: str) -> datetime | date:
    text = body.text(name) or ""
    try:
        moment = date.fromisoformat(text) if len(text) == len("2026-01-01") else datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"Invalid value at '{name}': a date, or a time with its offset, is needed") from error
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise invalid(f"Invalid value at '{name}': the offset is missing")
    return moment


def _json(handler: JsonHandler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            content, status = await handler(request), 200
        except ApiError as error:
            content, status = error.body(), error.status
        return web.json_response(content, status=status, dumps=lambda value: json.dumps(value, indent=1))

    return answer
