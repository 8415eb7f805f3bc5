"""A part dies: typed errors meanwhile, recovery by itself, and no second unsubscribe."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system import RunningSystem, running_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("chaos")
    with running_system(
        folder, WORKER_HEARTBEAT_S="0.5", WORKER_STALLED_S="2", TRACE_SAMPLE_RATIO="0"
    ) as running:
        yield running


@pytest.fixture
async def http(system: RunningSystem) -> AsyncIterator[aiohttp.ClientSession]:
    async with asyncio.timeout(110), aiohttp.ClientSession(headers={"X-API-Key": system.api_key}) as session:
        yield session


async def ask(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, Any]:
    async with session.request(method, url, **options) as answer:
        return answer.status, json.loads(await answer.read() or b"null")


async def finished(http: aiohttp.ClientSession, system: RunningSystem, operation_id: str) -> dict[str, Any]:
    """Follow an operation to its end, through whatever happens to the services."""
    while True:
        try:
            _, operation = await ask(http, "GET", f"{system.rest}/v1/operations/{operation_id}")
        except aiohttp.ClientError:
            operation = {}
        if operation.get("state") in ("succeeded", "failed", "cancelled"):
            return operation
        await asyncio.sleep(0.2)


async def subscriptions(http: aiohttp.ClientSession, system: RunningSystem) -> dict[str, dict[str, Any]]:
    status, scan = await ask(http, "POST", f"{system.rest}/v1/mailboxes/me/scans", json={})
    assert status == 202
    assert (await finished(http, system, scan["id"]))["state"] == "succeeded"
    _, page = await ask(http, "GET", f"{system.rest}/v1/mailboxes/me/subscriptions?page_size=200")
    return {row["key"]: row for row in page["subscriptions"]}


@pytest.mark.promise("once.crash")
async def test_mail_core_killed_in_the_middle_of_an_unsubscribe_posts_no_second_time(
    system: RunningSystem, http: aiohttp.ClientSession
) -> None:
    """kill -9 after the POST left and before its answer came: `unknown`, and never again."""
    row = (await subscriptions(http, system))["hebdo.pythonhebdo.example"]
    await ask(http, "POST", f"{system.sandbox}/sandbox/faults", json={"hold_senders": ["python-hebdo"]})
    body = {"subscription_ids": [row["id"]]}
    _, operation = await ask(http, "POST", f"{system.rest}/v1/mailboxes/me/unsubscribes", json=body)
    await ask(http, "GET", f"{system.sandbox}/sandbox/requests?list=python-hebdo&count=1&wait_s=5")

    former = await asyncio.to_thread(system.kill, "mail_core")
    await asyncio.to_thread(system.await_return, "mail_core", former)
    done = await finished(http, system, operation["id"])
    await ask(http, "POST", f"{system.sandbox}/sandbox/faults", json={"release_senders": ["python-hebdo"]})
    outcome = done["unsubscribe"]["outcomes"][0]
    assert (outcome["state"], outcome["reason"]) == ("unknown", "INTERRUPTED")

    _, again = await ask(http, "POST", f"{system.rest}/v1/mailboxes/me/unsubscribes", json=body)
    assert (await finished(http, system, again["id"]))["unsubscribe"]["outcomes"][0]["already_done"] is True
    _, received = await ask(http, "GET", f"{system.sandbox}/sandbox/requests?list=python-hebdo")
    assert len(received["requests"]) == 1


@pytest.mark.promise("once.mail")
async def test_mail_core_killed_in_the_middle_of_a_scan_loses_and_repeats_nothing(
    system: RunningSystem, http: aiohttp.ClientSession
) -> None:
    """The scan goes on after the restart, and the counts are those of the mailbox."""
    await subscriptions(http, system)
    before = (await _mailbox(http, system))["message_count"]
    await ask(
        http, "POST", f"{system.sandbox}/sandbox/deliver", json={"list": "cloud-native-brief", "count": 300}
    )
    _, scan = await ask(http, "POST", f"{system.rest}/v1/mailboxes/me/scans", json={})
    await _progress(http, system, scan["id"], 100)
    former = await asyncio.to_thread(system.kill, "mail_core")
    await asyncio.to_thread(system.await_return, "mail_core", former)
    assert (await finished(http, system, scan["id"]))["state"] == "succeeded"
    assert (await _mailbox(http, system))["message_count"] == before + 300


@pytest.mark.promise("outages.typed", "outages.heal")
@pytest.mark.parametrize("victim", ["auth", "postgres"])
async def test_dead_dependency_is_a_typed_error_and_heals_by_itself(
    system: RunningSystem, http: aiohttp.ClientSession, victim: str
) -> None:
    """503 with a reason while it is away, 200 again without anybody's help."""
    url = f"{system.rest}/v1/mailboxes"
    assert (await ask(http, "GET", url))[0] == 200
    former = await asyncio.to_thread(system.kill, victim)
    statuses = set()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status, body = await ask(http, "GET", url)
        statuses.add(status)
        assert status == 200 or (status in (503, 504) and body["reason"]), body
        if status == 200 and system.pids[victim] != former:
            break
        await asyncio.sleep(0.1)
    assert (await ask(http, "GET", f"{system.rest}/v1/me"))[0] == 200
    assert statuses <= {200, 503, 504}


async def _mailbox(http: aiohttp.ClientSession, system: RunningSystem) -> dict[str, Any]:
    _, page = await ask(http, "GET", f"{system.rest}/v1/mailboxes")
    return page["mailboxes"][0]


async def _progress(
    http: aiohttp.ClientSession, system: RunningSystem, operation_id: str, least: int
) -> None:
    while True:
        _, operation = await ask(http, "GET", f"{system.rest}/v1/operations/{operation_id}")
        if operation["progress"]["done"] >= least or operation["state"] == "succeeded":
            return
        await asyncio.sleep(0.02)
