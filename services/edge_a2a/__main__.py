"""`python -m services.edge_a2a`."""

import asyncio

from services.common import telemetry
from services.common.lifecycle import run
from services.common.settings import read_settings
from services.edge_a2a.settings import A2aSettings
from services.edge_a2a.wiring import SERVICE, serve


def main() -> None:
    """Run the A2A edge until SIGTERM."""
    settings = read_settings(A2aSettings)
    flush = telemetry.start(SERVICE, settings)

    async def until(stop: asyncio.Event) -> None:
        await serve(settings, stop)

    try:
        run(until)
    finally:
        flush()


if __name__ == "__main__":
    main()
