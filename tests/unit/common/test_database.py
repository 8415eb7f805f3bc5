"""A database that is away: a typed error and no hanging."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from services.common.database import Database, sqlalchemy_url
from services.common.errors import AppError, Kind


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
async def database(closed_port: int) -> AsyncIterator[Database]:
    database = Database(f"postgresql://app:planted-secret@127.0.0.1:{closed_port}/mail")
    yield database
    await database.close()


@pytest.mark.promise("outages.typed")
async def test_a_dead_database_is_a_typed_error(database: Database) -> None:
    """Retryable, and its text holds no URL."""
    async with asyncio.timeout(10):
        with pytest.raises(AppError) as caught:
            async with database.team("5d5f5c1e-0000-4000-8000-000000000001"):
                pass
    assert (caught.value.kind, caught.value.reason) == (Kind.UNAVAILABLE, "DATABASE_DOWN")
    assert caught.value.retry_after_s
    assert "planted-secret" not in str(caught.value)


async def test_a_dead_database_is_not_ready(database: Database) -> None:
    """The process says so and waits; it does not end."""
    async with asyncio.timeout(10):
        assert not await database.is_ready()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_spellings_of_the_scheme_are_taken(scheme: str) -> None:
    """As hosting services write it."""
    assert sqlalchemy_url(f"{scheme}://u@h/d") == "postgresql+psycopg://u@h/d"
