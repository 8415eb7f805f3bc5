"""Work that goes on beside a block, and ends with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from services.common.errors import AppError
from services.common.telemetry import get_logger


@contextlib.asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these until the block ends. Then they are cancelled, and have ended when it is left."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def regularly(every_s: float, what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do something now and then until cancelled, whatever one round met. `what` is what logs call it."""
    while True:
        try:
            await work()
        except AppError as error:
            get_logger().warning(f"{what}_failed", reason=error.reason)
        except Exception:  # noqa: BLE001 - it goes on whatever one round met
            get_logger().exception("unexpected", action=what)
        await asyncio.sleep(every_s)
