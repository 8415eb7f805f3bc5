"""What a process logs: JSON lines that lead to the request, and none that gives anything away."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from protos.auth.v1 import auth_pb2
from services.common.context import Call
from services.common.dispatch import Dispatcher
from services.common.policy import policy_of

SECRET = "planted-Secret-a8f3"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """Everything that a process logged in which everything went wrong."""
    return [json.loads(line) for line in asyncio.run(_logged())]


async def _logged() -> list[bytes]:
    command = (sys.executable, "-m", "tests.fakes.loud_service", SECRET)
    async with asyncio.timeout(30):
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    return log.splitlines()


@pytest.mark.promise("secrets.logs")
def test_no_line_holds_a_secret_wherever_it_came_in(lines: list[dict[str, Any]]) -> None:
    """Credentials, headers, paths, bodies, and the texts of exceptions."""
    assert SECRET.lower() not in json.dumps(lines).lower()


def test_a_caller_is_named_without_the_words_of_its_issuer(lines: list[dict[str, Any]]) -> None:
    """The subject of a token is often an address; its hash still tells callers apart."""
    names = {line["principal"] for line in lines if line["event"] == "rpc"}
    assert len(names) == 1
    assert re.fullmatch("jwt:[0-9a-f]{12}", names.pop())


def test_an_unexpected_exception_is_logged_once_with_its_place(lines: list[dict[str, Any]]) -> None:
    """Types and frames lead to the fault: that of the group, of its members, and of what caused it."""
    broken = [line for line in lines if line["event"] == "unexpected"]
    assert len(broken) == 4  # two requests at the edge, one call and one stream at the backend
    for line in broken:
        names = {text for text in line["exception"].splitlines() if not text.startswith(" ")}
        assert names == {"ExceptionGroup", "ValueError", "KeyError", "ConnectionRefusedError errno 111"}
        assert "loud_service.py:" in line["exception"]
        assert "in fail" in line["exception"]


def test_every_request_has_one_line_with_its_ids(lines: list[dict[str, Any]]) -> None:
    """Action, peer, principal, reason and time, under the request's id and its trace's."""
    requests = [line for line in lines if line["event"] in {"request", "rpc"}]
    assert len(requests) == 5
    for line in requests:
        assert line["reason"] == "INTERNAL"
        assert line["ms"] >= 0
        assert len(line["request_id"]) == 32
        assert line["service"] == "loud"
    assert all(line["trace_id"] for line in requests if line["event"] == "request")


def test_the_route_is_never_the_clients_text(lines: list[dict[str, Any]]) -> None:
    """Labels of metrics stay few."""
    assert {line["route"] for line in lines if line["event"] == "request"} == {"POST rpc"}


def test_what_libraries_log_is_cut_at_its_first_line(lines: list[dict[str, Any]]) -> None:
    """Below it they print objects, and objects print what they hold."""
    events = {line["event"] for line in lines}
    assert {"it broke", "Task exception was never retrieved", "seen"} <= events
    assert not any("future" in event for event in events)


@pytest.mark.parametrize(
    ("peer", "reason", "is_told"),
    [("mail_core", "OK", False), ("mail_core", "INTERNAL", True), ("edge_rest", "OK", True)],
)
def test_what_a_backend_asks_on_its_own_account_is_not_told_when_all_is_well(
    peer: str, reason: str, is_told: bool
) -> None:
    """Keys are fetched twice a second; a log of that would bury the requests of people."""
    method = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["ListPassportKeys"]
    with structlog.testing.capture_logs() as logs:
        Dispatcher("auth", None).report(policy_of(method), Call(request_id="r", peer=peer), reason, 0.0)
    assert [log["event"] for log in logs if log["log_level"] != "debug"] == ["rpc"] * is_told
