"""Keeps a server's health in step with what it depends on, down and up again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from services.common.grpc_server import GrpcServer
from services.common.telemetry import get_logger

_CHECK_EVERY_S: Final = 1.0


async def follow_readiness(
    server: GrpcServer, is_ready: Callable[[], Awaitable[bool]], when_first_ready: Callable[[], None]
) -> None:
    """Check until cancelled; calls `when_first_ready` once."""
    was_ready, was_ever_ready = False, False
    while True:
        now_ready = await is_ready()
        if now_ready != was_ready:
            get_logger().info("readiness", is_ready=now_ready)
            await server.set_serving(now_ready)
            was_ready = now_ready
        if now_ready and not was_ever_ready:
            was_ever_ready = True
            when_first_ready()
        await asyncio.sleep(_CHECK_EVERY_S if was_ever_ready else _CHECK_EVERY_S / 20)
