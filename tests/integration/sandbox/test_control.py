"""The control API: trouble to order, and the process as a whole."""

import asyncio
import json
import os
import signal
import sys

import aiohttp
import pytest


async def test_a_fault_hits_as_many_calls_as_it_was_told(desk):
    """Then Gmail works again."""
    fault = {"method": "gmail.users.messages.*", "count": 2, "status": 503, "retry_after_s": 1}
    await desk.control("faults", {"api": [fault]})
    statuses = [(await desk.gmail("GET", "/messages"))[0] for _ in range(3)]
    assert statuses == [503, 503, 200]


async def test_a_fault_may_drop_the_answer_of_a_call_that_acted(desk):
    """The worst case of a network: done, and nobody knows."""
    await desk.control("faults", {"api": [{"method": "gmail.users.labels.create", "acts": True}]})
    with pytest.raises(aiohttp.ClientError):
        await desk.gmail("POST", "/labels", json={"name": "LinkedIn"})
    assert desk.world.mailbox.labels.named("LinkedIn") is not None


async def test_an_expired_access_token_is_refused_and_a_new_one_is_given(desk):
    """401, then the refresh token still works."""
    await desk.control("faults", {"expire_access_tokens": True})
    refused, _ = await desk.gmail("GET", "/profile")
    token = await desk.control("token")
    names = ("client_id", "client_secret", "refresh_token")
    form = {"grant_type": "refresh_token", **{name: token[name] for name in names}}
    async with desk.session.post(token["token_uri"], data=form) as answer:
        fresh = await answer.json()
    headers = {"Authorization": f"Bearer {fresh['access_token']}"}
    assert refused == 401
    assert (fresh["token_type"], fresh["expires_in"]) == ("Bearer", 3599)
    assert (await desk.gmail("GET", "/profile", headers=headers))[0] == 200


async def test_a_token_lives_as_long_as_it_was_told(make_desk):
    """SANDBOX_TOKEN_TTL_S; what is over is over."""
    desk = await make_desk(sandbox_token_ttl_s=7)
    started = desk.world.grants.clock()
    desk.world.grants.clock = lambda: started + 8
    assert (await desk.gmail("GET", "/profile"))[0] == 401


async def test_a_calendar_may_fail_inside_a_200(desk):
    """And recover."""
    body = {
        "timeMin": "2026-09-14T00:00:00Z",
        "timeMax": "2026-09-15T00:00:00Z",
        "items": [{"id": "primary"}],
    }
    await desk.control("faults", {"calendar_errors": {"primary": "internalError"}})
    _, failing = await desk.call("POST", "/calendar/v3/freeBusy", json=body)
    await desk.control("faults", {"calendar_errors": {"primary": None}})
    _, healthy = await desk.call("POST", "/calendar/v3/freeBusy", json=body)
    assert failing["calendars"]["primary"]["errors"] == [{"domain": "global", "reason": "internalError"}]
    assert "errors" not in healthy["calendars"]["primary"]


async def test_groups_and_too_many_calendars_have_their_own_errors(desk):
    """groupTooBig and tooManyCalendarsRequested, as documented for freebusy.query."""
    window = {"timeMin": "2026-09-14T00:00:00Z", "timeMax": "2026-09-15T00:00:00Z"}
    group = {"items": [{"id": "home@groups.sandbox.example"}]}
    _, whole = await desk.call("POST", "/calendar/v3/freeBusy", json={**window, **group})
    _, big = await desk.call(
        "POST", "/calendar/v3/freeBusy", json={**window, **group, "groupExpansionMax": 1}
    )
    _, cut = await desk.call(
        "POST", "/calendar/v3/freeBusy", json={**window, **group, "calendarExpansionMax": 1}
    )
    assert len(whole["calendars"]) == 2
    assert big["groups"]["home@groups.sandbox.example"]["errors"][0]["reason"] == "groupTooBig"
    errors = [item.get("errors", [{}])[0].get("reason") for item in cut["calendars"].values()]
    assert errors == [None, "tooManyCalendarsRequested"]


async def test_an_event_made_by_hand_is_busy(desk):
    """POST /sandbox/events."""
    event = {"start": "2026-09-14T20:00:00+02:00", "end": "2026-09-14T21:00:00+02:00"}
    await desk.control("events", event)
    body = {
        "timeMin": "2026-09-14T17:00:00Z",
        "timeMax": "2026-09-14T23:00:00Z",
        "items": [{"id": "primary"}],
    }
    _, answer = await desk.call("POST", "/calendar/v3/freeBusy", json=body)
    assert answer["calendars"]["primary"]["busy"] == [
        {"start": "2026-09-14T18:00:00Z", "end": "2026-09-14T19:00:00Z"}
    ]


async def test_any_message_can_be_delivered(desk):
    """As text, with the labels one likes."""
    raw = "From: x@y.example\r\nSubject: bonjour\r\n\r\nsalut"
    delivered = await desk.control("deliver", {"raw": raw, "labels": ["INBOX", "STARRED"]})
    assert await desk.listed("is:starred") == [delivered["delivered"][0]["id"]]


async def test_the_summary_counts_what_is_there(desk):
    """Messages, labels, lists, units."""
    await desk.gmail("GET", "/messages")
    summary = await desk.control("summary")
    labels = {item["id"]: item["messages"] for item in summary["labels"]}
    assert summary["messages"] == len(desk.world.mailbox.messages)
    assert labels["SPAM"] == 6
    assert summary["quota"]["spent_units"] == 5
    assert summary["quota"]["calls"] == {"gmail.users.messages.list": 1}


async def test_send_as_names_the_primary_address_and_the_alias(desk):
    """So that a mailto goes out from the address that receives the list."""
    _, answer = await desk.gmail("GET", "/settings/sendAs")
    assert [item["isPrimary"] for item in answer["sendAs"]] == [True, False]


async def test_the_process_says_where_it_serves_and_stops_on_sigterm(tmp_path):
    """READY_FILE appears whole; exit code 0."""
    ready = tmp_path / "ready.json"
    environment = {
        **os.environ,
        "READY_FILE": str(ready),
        "LISTEN": "127.0.0.1:0",
        "SENDERS_LISTEN": "127.0.0.1:0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sandbox", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        await process.stderr.readline()  # the addresses, said after the file is there
        announced = json.loads(ready.read_text())
        async with session.get(announced["addresses"]["google"] + "/sandbox/summary") as answer:
            summary = await answer.json()
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    assert (announced["service"], announced["pid"], code) == ("sandbox", process.pid, 0)
    assert set(announced["addresses"]) == {"google", "senders"}
    assert summary["messages"] > 400
