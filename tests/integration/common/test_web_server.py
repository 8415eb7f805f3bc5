"""Connections of aiohttp where we changed how they end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from services.common.web_server import Bounds, Runner

BOUND_S = 10
CHUNK = b"x" * 65_536


@asynccontextmanager
async def serving(handler: Handler, bounds: Bounds) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = Runner(app, lambda error, _: web.Response(status=400, text=error.reason), bounds, drain_s=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_an_answer_that_is_not_read_is_cut_off() -> None:
    """However much there is left of it."""
    ended = asyncio.Event()

    async def talkative(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(CHUNK)
        finally:
            ended.set()

    async with serving(talkative, Bounds(write_s=0.5)) as port, asyncio.timeout(BOUND_S):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        await ended.wait()
        writer.close()


async def test_a_body_that_breaks_its_framing_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send one: an error in the log for each would bury those that matter."""

    async def refusing(request: web.Request) -> web.Response:
        try:
            await request.read()
        except web.RequestPayloadError:
            return web.Response(status=400)
        return web.Response()

    async with serving(refusing, Bounds()) as port, asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head)
        await reader.readuntil(b"100 Continue\r\n\r\n")
        writer.write(b"xxxx\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
