"""What is tested here meets the event loop that services run on."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Its transports are none of asyncio's classes, and behave differently where connections end."""
    return {"uvloop": uvloop.new_event_loop}
