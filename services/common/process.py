"""One service as a process: settings, telemetry, and then its own `serve` until SIGTERM."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from services.common import lifecycle, telemetry
from services.common.settings import BaseServiceSettings, read_settings

S = TypeVar("S", bound=BaseServiceSettings)


def run_service(
    service: str, settings_class: type[S], serve: Callable[[S, asyncio.Event], Awaitable[None]]
) -> None:
    """Read the settings, serve until SIGTERM, flush what was measured.

    Raises SystemExit when the settings cannot be used.
    """
    settings = read_settings(settings_class)
    flush = telemetry.start(service, settings)
    try:
        lifecycle.run(partial(serve, settings))
    finally:
        flush()
