"""`python -m services.sandbox`: a local Google and the senders' hosts, until SIGTERM or Ctrl-C."""

import asyncio
import sys
from contextlib import AsyncExitStack

from services.common.lifecycle import announce, run
from services.sandbox.settings import Settings
from services.sandbox.wiring import start


async def serve(stop: asyncio.Event) -> None:
    settings = Settings()
    async with AsyncExitStack() as stack:
        sandbox = await start(settings, stack)
        addresses = {"google": sandbox.google_url, "senders": sandbox.senders_url}
        announce(settings.ready_file, "sandbox", addresses)
        sys.stderr.write(f"sandbox: google {sandbox.google_url}, senders {sandbox.senders_url}\n")
        await stop.wait()


if __name__ == "__main__":
    run(serve)
