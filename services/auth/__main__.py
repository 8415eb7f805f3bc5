"""`python -m services.auth` serves; `python -m services.auth migrate` brings its database up to date."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

from services.auth.oauth.wiring import oauth_serving
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
    async with contextlib.AsyncExitStack() as stack:
        auth = await stack.enter_async_context(built(settings))
        port = await auth.server.start(settings.listen)
        addresses = {"grpc": _address(settings.listen, port)}
        if auth.oauth is not None:
            serving = oauth_serving(auth.oauth, *split_address(settings.oauth_listen), settings.drain_s)
            addresses["oauth"] = _address(settings.oauth_listen, await stack.enter_async_context(serving))
        get_logger().info("listening", port=port, **describe(settings))

        def say_so() -> None:
            announce(settings.ready_file, SERVICE, addresses)

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow_readiness(auth.server, auth.is_ready, say_so))
            await stop.wait()
            auth.end_streams()
            await auth.server.stop(settings.drain_s)
            following.cancel()


def _address(listen: str, port: int) -> str:
    host, _ = split_address(listen)
    return f"{f'[{host}]' if ':' in host else host}:{port}"


if __name__ == "__main__":
    main(sys.argv[1:])
