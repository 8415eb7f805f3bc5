"""Watching an operation: until it ends, the patience ends, the process ends, or the backend stays away."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from protos.mail.v1 import resources_pb2
from services.common.errors import AppError, not_found, unavailable
from services.edge_mcp.operations import Operations

QUEUED = resources_pb2.OPERATION_STATE_QUEUED
RUNNING = resources_pb2.OPERATION_STATE_RUNNING
SUCCEEDED = resources_pb2.OPERATION_STATE_SUCCEEDED


def _operation(state: Any = QUEUED) -> resources_pb2.Operation:
    return resources_pb2.Operation(id="op", request_id="mine", state=state)


@dataclass
class FakeMail:
    """Each watch plays the next script: states to send, an error to fail with, or an event to wait on."""

    scripts: list[Iterable[Any]]
    watches: int = 0
    reported: list[Any] = field(default_factory=list)

    async def WatchOperation(self, _request: Any) -> AsyncIterator[resources_pb2.Operation]:  # noqa: N802
        script = self.scripts[min(self.watches, len(self.scripts) - 1)]
        self.watches += 1
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, AppError):
                raise step
            else:
                yield _operation(step)

    async def start(self, _request: Any) -> resources_pb2.Operation:
        return _operation()

    async def report(self, operation: resources_pb2.Operation) -> None:
        self.reported.append(operation.state)


async def _run(mail: FakeMail, *, wait_s: float = 5, stopping: asyncio.Event | None = None) -> Any:
    operations = Operations(mail, wait_s=wait_s, stopping=stopping or asyncio.Event())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        return await operations.run(mail.start, None, mail.report)


async def test_every_change_is_reported_and_the_last_one_returned() -> None:
    """Queued, running, done."""
    mail = FakeMail([[QUEUED, RUNNING, SUCCEEDED]])
    assert (await _run(mail)).state == SUCCEEDED
    assert mail.reported == [QUEUED, QUEUED, RUNNING, SUCCEEDED]


async def test_an_operation_that_was_finished_before_is_not_watched() -> None:
    """A repeated request id gives the answer at once."""
    mail = FakeMail([])
    mail.start = lambda _request: asyncio.sleep(0, _operation(SUCCEEDED))  # type: ignore[method-assign]
    assert (await _run(mail)).state == SUCCEEDED
    assert mail.watches == 0


async def test_patience_ends_with_the_last_known_state() -> None:
    """The operation goes on; the caller learns how far it was."""
    mail = FakeMail([[RUNNING, asyncio.Event()]])
    assert (await _run(mail, wait_s=0.02)).state == RUNNING


async def test_a_stopping_process_answers_at_once() -> None:
    """Draining does not wait for a scan."""
    stopping = asyncio.Event()
    stopping.set()
    assert (await _run(FakeMail([[asyncio.Event()]]), wait_s=600, stopping=stopping)).state == QUEUED


async def test_a_lost_watch_is_taken_up_again() -> None:
    """A restarting backend, and a stream that ends too early, cost nothing but a moment."""
    mail = FakeMail([[RUNNING, unavailable("MAIL_CORE_DOWN", "Down.")], [RUNNING], [SUCCEEDED]])
    assert (await _run(mail)).state == SUCCEEDED
    assert mail.watches == 3


async def test_a_refusal_is_not_tried_again() -> None:
    """What cannot get better is told at once."""
    mail = FakeMail([[not_found("OPERATION_NOT_FOUND", "There is no such operation.")]])
    with pytest.raises(AppError) as caught:
        await _run(mail)
    assert caught.value.reason == "OPERATION_NOT_FOUND"
    assert mail.watches == 1


async def test_a_backend_that_stays_away_is_an_error_with_the_way_on() -> None:
    """After some tries the model is told, with the request id that goes on."""
    mail = FakeMail([[unavailable("MAIL_CORE_DOWN", "Down.")]])
    with pytest.raises(AppError) as caught:
        await _run(mail)
    assert caught.value.reason == "MAIL_CORE_DOWN"
    assert 'request_id "mine"' in caught.value.message
    assert mail.watches == 4
