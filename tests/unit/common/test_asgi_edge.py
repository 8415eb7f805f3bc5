"""The rim of the ASGI edges: bodies are bounded in length and in time."""

import asyncio
from typing import Any

import pytest

from services.common import asgi_edge
from services.common.asgi_edge import BodyRefusedError


async def never() -> Any:
    await asyncio.Event().wait()


def chunks(*messages: dict[str, Any]) -> Any:
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    return receive


async def test_body_that_never_arrives_is_refused() -> None:
    """A client that holds a request open gets a 408, not a place in memory."""
    with pytest.raises(BodyRefusedError) as caught:
        await asgi_edge._Limited(never, None, 100, 0.01)()
    assert (caught.value.status, caught.value.reason) == (408, "BODY_TIMEOUT")


async def test_body_without_a_declared_length_is_counted() -> None:
    """Chunks that add up past the limit are refused."""
    part = {"type": "http.request", "body": b"x" * 60, "more_body": True}
    limited = asgi_edge._Limited(chunks(part, part), None, 100, 5)
    await limited()
    with pytest.raises(BodyRefusedError) as caught:
        await limited()
    assert caught.value.status == 413


async def test_declared_length_is_refused_before_a_byte_is_read() -> None:
    """Content-Length alone is enough to know."""
    with pytest.raises(BodyRefusedError):
        asgi_edge._Limited(never, "101", 100, 5)


async def test_answer_may_take_longer_than_the_body() -> None:
    """Once the body is complete, waiting for the client to leave has no end."""
    whole = {"type": "http.request", "body": b"", "more_body": False}
    limited = asgi_edge._Limited(chunks(whole, {"type": "http.disconnect"}), None, 100, 0.01)
    await limited()
    await asyncio.sleep(0.02)
    assert (await limited())["type"] == "http.disconnect"
