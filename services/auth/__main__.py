"""`python -m services.auth` serves; `python -m services.auth migrate` brings its database up to date."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from services.auth.settings import AuthSettings, describe
from services.auth.wiring import SERVICE, built
from services.common import telemetry
from services.common.lifecycle import announce, run, split_address
from services.common.readiness import follow_readiness
from services.common.settings import MigrationSettings, read_settings
from services.common.telemetry import get_logger

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM, or migrate."""
    match arguments:
        case []:
            serve(read_settings(AuthSettings))
        case ["migrate"]:
            # Imported only when used: Alembic is slow to load, and serving needs none of it.
            from services.common.migrations import migrate

            migrate(SERVICE, _MIGRATIONS, read_settings(MigrationSettings))
        case _:
            raise SystemExit("usage: python -m services.auth [migrate]")


def serve(settings: AuthSettings) -> None:
    """Serve until SIGTERM."""
    flush = telemetry.start(SERVICE, settings)
    try:
        run(lambda stop: _serve(settings, stop))
    finally:
        flush()


async def _serve(settings: AuthSettings, stop: asyncio.Event) -> None:
    async with built(settings) as auth:
        port = await auth.server.start(settings.listen)
        get_logger().info("listening", port=port, **describe(settings))
        host, _ = split_address(settings.listen)

        def say_so() -> None:
            announce(settings.ready_file, SERVICE, {"grpc": f"{f'[{host}]' if ':' in host else host}:{port}"})

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow_readiness(auth.server, auth.is_ready, say_so))
            await stop.wait()
            auth.end_streams()
            await auth.server.stop(settings.drain_s)
            following.cancel()


if __name__ == "__main__":
    main(sys.argv[1:])
