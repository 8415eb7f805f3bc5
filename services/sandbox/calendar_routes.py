"""Calendar v3: freeBusy.query and calendarList.list."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.sandbox.arguments import Body
from services.sandbox.errors import ApiError
from services.sandbox.google_api import Call, Route

_CALENDAR_LIMIT = 50
_GROUP_LIMIT = 100
_LONGEST = timedelta(days=90)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def free_busy(call: Call) -> dict[str, Any]:
    """Busy stretches by calendar; one that cannot be read has `errors` inside the 200."""
    body = call.body
    start, end = _window(body)
    zone = _zone(body.text("timeZone") or "UTC")
    calendar_limit = body.integer("calendarExpansionMax", _CALENDAR_LIMIT, low=1, high=_CALENDAR_LIMIT)
    group_limit = body.integer("groupExpansionMax", _GROUP_LIMIT, low=1, high=_GROUP_LIMIT)
    groups: dict[str, Any] = {}
    asked: list[str] = []
    for item in body.objects("items"):
        name = item.text("id") or ""
        members = call.world.calendars.groups.get(name)
        if members is None:
            asked.append(name)
        elif len(members) > group_limit:
            groups[name] = _failed("groupTooBig")
        else:
            groups[name] = {"calendars": list(members)}
            asked.extend(members)
    calendars = {
        name: _busy(call, name, start, end, zone)
        if number < calendar_limit
        else _failed("tooManyCalendarsRequested")
        for number, name in enumerate(dict.fromkeys(asked))
    }
    return {
        "kind": "calendar#freeBusy",
        "timeMin": _millis(start),
        "timeMax": _millis(end),
        **({"groups": groups} if groups else {}),
        "calendars": calendars,
    }


def list_calendars(call: Call) -> dict[str, Any]:
    items = [
        {
            "kind": "calendar#calendarListEntry",
            "etag": f'"{number}"',
            "id": calendar.id,
            "summary": calendar.summary,
            "timeZone": calendar.time_zone,
            "accessRole": calendar.access_role,
            "selected": True,
            **({"primary": True} if calendar.is_primary else {}),
        }
        for number, calendar in enumerate(call.world.calendars.calendars.values())
    ]
    return {"kind": "calendar#calendarList", "etag": '"p32"', "nextSyncToken": "CPsync", "items": items}


def _busy(call: Call, name: str, start: datetime, end: datetime, zone: ZoneInfo) -> dict[str, Any]:
    book = call.world.calendars
    calendar = book.find(name)
    if name in book.failing:
        return _failed(book.failing[name])
    if calendar is None:
        return _failed("notFound")
    busy = calendar.busy(start, end)
    return {
        "busy": [{"start": _instant(begin, zone), "end": _instant(finish, zone)} for begin, finish in busy]
    }


def _failed(reason: str) -> dict[str, Any]:
    return {"errors": [{"domain": "global", "reason": reason}], "busy": []}


def _window(body: Body) -> tuple[datetime, datetime]:
    start, end = _time(body, "timeMin"), _time(body, "timeMax")
    if end <= start:
        raise ApiError(400, "timeRangeEmpty", "The specified time range is empty.")
    if end - start > _LONGEST:
        raise ApiError(400, "timeRangeTooLong", "The requested time range is too long.")
    return start, end


def _time(body: Body, name: str) -> datetime:
    text = body.text(name)
    if text is None:
        raise ApiError(400, "required", f"Missing required field: {name}")
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ApiError(400, "badRequest", "Bad Request")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ApiError(400, "invalid", "Invalid value for: timeZone") from error


def _instant(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def _millis(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


ROUTES = [
    Route("calendar.freebusy.query", "POST", "/calendar/v3/freeBusy", free_busy),
    Route("calendar.calendarList.list", "GET", "/calendar/v3/users/{userId}/calendarList", list_calendars),
]
