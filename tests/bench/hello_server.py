"""A bare aiohttp hello on uvloop: what the framework of the REST edge costs by itself."""

import asyncio

import uvloop
from aiohttp import web

from tests.bench.serving import announce, listening, settings


async def hello(_request: web.Request) -> web.Response:
    """Say hello."""
    return web.Response(body=b'{"hello":"world"}', content_type="application/json")


async def main() -> None:
    """Serve until killed."""
    settings()
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = listening()
    await web.SockSite(runner, listener).start()
    announce(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
