"""The HTTP server of the ASGI edges, on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.common.http_server import HttpServer


class App:
    """Answers when the test lets it; refuses to start when told to."""

    def __init__(self) -> None:
        self.refuses_to_start = False
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.has_begun.set()
        await self.may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        if self.refuses_to_start:
            await send({"type": "lifespan.startup.failed", "message": "no"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with asyncio.timeout(10):
        yield App()


async def get(server: HttpServer) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{server.address}/") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
async def test_it_serves_where_it_says(app: App, listen: str) -> None:
    """The address is known before anything is served."""
    server = HttpServer(listen, drain_s=1)
    app.may_end.set()
    assert not server.address.endswith(":0")
    async with server.serving(app):
        assert await get(server) == (200, "ok")


@pytest.mark.promise("stopping.flight")
async def test_a_request_in_flight_is_finished(app: App) -> None:
    """Leaving the block waits for it."""
    server = HttpServer("127.0.0.1:0", drain_s=5)
    async with server.serving(app):
        answer = asyncio.create_task(get(server))
        await app.has_begun.wait()
        asyncio.get_running_loop().call_later(0.05, app.may_end.set)
    assert await answer == (200, "ok")


async def test_an_application_that_does_not_start_is_an_error(app: App) -> None:
    """And nothing is announced."""
    app.refuses_to_start = True
    with pytest.raises(RuntimeError, match="did not start"):
        async with HttpServer("127.0.0.1:0", drain_s=1).serving(app):
            raise AssertionError("it must not get here")


async def test_a_taken_port_is_an_error_at_once(app: App) -> None:
    """Before any application is built."""
    first = HttpServer("127.0.0.1:0", drain_s=1)
    with pytest.raises(OSError, match="in use"):
        HttpServer(first.address, drain_s=1)
    app.may_end.set()
    async with first.serving(app):
        pass


@pytest.mark.promise("input.slow")
async def test_an_answer_that_is_not_read_is_cut_off() -> None:
    """A reader that stops reading must not hold an answer, and who makes it, for ever."""
    has_ended = asyncio.Event()

    async def talkative(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await App()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"a" * 16 * 1024 * 1024, "more_body": more})
        has_ended.set()

    server = HttpServer("127.0.0.1:0", drain_s=1, write_s=0.5)
    async with asyncio.timeout(20), server.serving(talkative):
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await has_ended.wait()
        read = 0
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(1_000_000):
                read += len(part)
        assert read < 3 * 16 * 1024 * 1024
        writer.close()
