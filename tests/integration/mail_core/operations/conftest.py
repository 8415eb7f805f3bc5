"""A fresh team for each test, in the shared PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.database import Database
from tests.integration.mail_core.operations.world import World
from tests.postgres import Databases


@pytest.fixture
async def world(databases: Databases) -> AsyncIterator[World]:
    database = Database(databases.mail.app_url, pool_size=8)
    async with asyncio.timeout(30):
        world = World(database)
        await world.connect()
        yield world
    await database.close()
