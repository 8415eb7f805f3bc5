"""`python -m services.mail_core` serves; with `migrate` it brings its database up to date."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from services.common import telemetry
from services.common.lifecycle import announce, run, split_address
from services.common.migrations import migrate
from services.common.readiness import follow_readiness
from services.common.settings import MigrationSettings, read_settings
from services.mail_core.settings import Settings
from services.mail_core.wiring import SERVICE, mail_core

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM, or migrate."""
    match arguments:
        case []:
            serve(read_settings(Settings))
        case ["migrate"]:
            migrate(SERVICE, _MIGRATIONS, read_settings(MigrationSettings))
        case _:
            raise SystemExit("usage: python -m services.mail_core [migrate]")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM, then finish what is in flight."""
    flush = telemetry.start(SERVICE, settings)
    try:
        run(lambda stop: _serve(settings, stop))
    finally:
        flush()


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with mail_core(settings) as core:
        port = await core.server.start(settings.listen)
        host, _ = split_address(settings.listen)

        def say_so() -> None:
            announce(settings.ready_file, SERVICE, {"grpc": f"{host}:{port}"})

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow_readiness(core.server, core.is_ready, say_so))
            await core.server.serve_until(stop, settings.drain_s)
            following.cancel()


if __name__ == "__main__":
    main(sys.argv[1:])
