"""`python -m services.sandbox`: a local Google and the senders' hosts, until SIGTERM or Ctrl-C."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import uvloop

from services.sandbox.settings import Settings
from services.sandbox.wiring import announce, start


async def serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        sandbox = await start(settings, stack)
        if settings.ready_file:
            announce(settings.ready_file, sandbox)
        sys.stderr.write(f"sandbox: google {sandbox.google_url}, senders {sandbox.senders_url}\n")
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(serve(Settings()))
