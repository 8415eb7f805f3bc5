"""A backend as a process: it serves gRPC, or brings its database up to date."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from services.common.grpc_server import GrpcServer
from services.common.lifecycle import announce, join_address, split_address
from services.common.process import run_service
from services.common.readiness import follow_readiness
from services.common.settings import BaseServiceSettings, MigrationSettings, read_settings

S = TypeVar("S", bound=BaseServiceSettings)


@dataclass(frozen=True, slots=True)
class Built:
    """A backend that is put together and does not listen yet. `is_ready` asks what it depends on.

    `end_streams` lets those that stay open end before the drain; `addresses` are what else it listens on.
    """

    server: GrpcServer
    is_ready: Callable[[], Awaitable[bool]]
    end_streams: Callable[[], None] = lambda: None
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackendProcess(Generic[S]):
    """What `python -m services.<name>` does. `build` opens what the backend needs and closes it again."""

    service: str
    settings_class: type[S]
    build: Callable[[S], contextlib.AbstractAsyncContextManager[Built]]
    migrations: Path

    def main(self, arguments: list[str]) -> None:
        """Serve until SIGTERM; with the argument `migrate`, migrate instead."""
        match arguments:
            case []:
                run_service(self.service, self.settings_class, self._serve)
            case ["migrate"]:
                # Imported only when used: Alembic is slow to load, and serving needs none of it.
                from services.common.migrations import migrate

                migrate(self.service, self.migrations, read_settings(MigrationSettings))
            case _:
                raise SystemExit(f"usage: python -m services.{self.service} [migrate]")

    async def _serve(self, settings: S, stop: asyncio.Event) -> None:
        async with self.build(settings) as built:
            port = await built.server.start(settings.listen)
            address = join_address(split_address(settings.listen)[0], port)

            def say_so() -> None:
                announce(settings.ready_file, self.service, {"grpc": address, **built.addresses})

            async with asyncio.TaskGroup() as group:
                following = group.create_task(follow_readiness(built.server, built.is_ready, say_so))
                await stop.wait()
                built.end_streams()
                await built.server.stop(settings.drain_s)
                following.cancel()
