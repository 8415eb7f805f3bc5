"""Gmail's unit ledger."""

import pytest

from services.sandbox.errors import ApiError
from services.sandbox.quota import TABLES, Ledger, QuotaTable


class Clock:
    now_s = 1_000.0

    def __call__(self):
        return self.now_s


def test_no_minute_holds_more_units_than_the_limit():
    """The window slides: what was spent 60 s ago is free again, and Retry-After says when."""
    clock = Clock()
    ledger = Ledger(QuotaTable(100, {"get": 20}), clock)
    for _ in range(5):
        ledger.charge("get")
        clock.now_s += 2
    with pytest.raises(ApiError) as refusal:
        ledger.charge("get")
    clock.now_s = 1_000 + 60
    ledger.charge("get")
    with pytest.raises(ApiError):
        ledger.charge("get")
    assert (refusal.value.status, refusal.value.reason) == (403, "rateLimitExceeded")
    assert refusal.value.headers == {"Retry-After": "50"}
    assert ledger.spent_units == 120


@pytest.mark.parametrize(("year", "limit", "get"), [("2026", 6_000, 20), ("2025", 15_000, 5)])
def test_both_tables_of_google_are_there(year, limit, get):
    """Reads became scarcer for projects made since 2026-05-01; changes cost what they did."""
    table = TABLES[year]
    assert (table.units_per_minute, table.units["gmail.users.messages.get"]) == (limit, get)
    assert table.units["gmail.users.messages.batchModify"] == 50
    assert table.units["gmail.users.messages.send"] == 100


async def test_a_user_over_quota_is_told_when_to_return(make_desk):
    """403 rateLimitExceeded in usageLimits, with Retry-After."""
    desk = await make_desk(sandbox_quota_units_per_minute=10)
    first = await desk.gmail("GET", "/messages")
    second = await desk.gmail("GET", "/messages")
    url = f"{desk.sandbox.google_url}/gmail/v1/users/me/messages"
    async with desk.session.get(url, headers={"Authorization": f"Bearer {desk.access_token}"}) as third:
        error = (await third.json())["error"]
        retry_after = int(third.headers["Retry-After"])
    assert (first[0], second[0], third.status) == (200, 200, 403)
    assert (error["errors"][0]["domain"], error["errors"][0]["reason"]) == (
        "usageLimits",
        "rateLimitExceeded",
    )
    assert 50 < retry_after <= 60


async def test_the_calendar_has_a_quota_of_its_own(make_desk):
    """A mailbox without units left still answers free/busy."""
    desk = await make_desk(sandbox_quota_units_per_minute=1)
    body = {
        "timeMin": "2026-09-14T00:00:00Z",
        "timeMax": "2026-09-15T00:00:00Z",
        "items": [{"id": "primary"}],
    }
    assert (await desk.gmail("GET", "/messages"))[0] == 403
    assert (await desk.call("POST", "/calendar/v3/freeBusy", json=body))[0] == 200
