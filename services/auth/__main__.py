"""`python -m services.auth` serves; `python -m services.auth migrate` brings its database up to date."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from sqlalchemy.exc import OperationalError

from services.auth.settings import AuthSettings, MigrationSettings, describe
from services.auth.wiring import SERVICE, Auth, built
from services.common import telemetry
from services.common.lifecycle import announce, run, split_address
from services.common.migrations import upgrade
from services.common.settings import read_settings
from services.common.telemetry import get_logger

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM, or migrate."""
    match arguments:
        case []:
            serve(read_settings(AuthSettings))
        case ["migrate"]:
            migrate(read_settings(MigrationSettings))
        case _:
            raise SystemExit("usage: python -m services.auth [migrate]")


def migrate(settings: MigrationSettings) -> None:
    """Bring the database to the newest revision, as the owner of its schema."""
    telemetry.start(SERVICE, settings)
    try:
        upgrade(_MIGRATIONS, settings.database_owner_url, settings.database_url)
    except OperationalError as error:
        raise SystemExit(f"The database cannot be migrated: {error.orig}") from None
    get_logger().info("migrated")


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
        # Nobody is to send us work before the database has answered.
        await auth.server.set_serving(False)
        get_logger().info("listening", port=port, **describe(settings))
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_follow(auth, settings, port))
            await auth.server.serve_until(stop, settings.drain_s)
            following.cancel()


async def _follow(auth: Auth, settings: AuthSettings, port: int) -> None:
    host, _ = split_address(settings.listen)

    def say_so() -> None:
        announce(settings.ready_file, SERVICE, {"grpc": f"{f'[{host}]' if ':' in host else host}:{port}"})

    await auth.follow_database(say_so)


if __name__ == "__main__":
    main(sys.argv[1:])
