"""The plan bounds how many mailboxes a team connects, exactly, however many connect at once."""

import asyncio
import uuid
from typing import Any

import pytest

from services.common.database import Database
from services.common.errors import AppError
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.ids import MailboxId, TeamId
from services.mail_core.storage import ConnectedAccount
from tests.integration.mail_core.operations.world import RecordingQueue
from tests.postgres import Databases

BOUND = 3


@pytest.fixture
async def store(databases: Databases) -> Any:
    database = Database(databases.mail.app_url, pool_size=10)
    yield PostgresStore(database, RecordingQueue())  # pyright: ignore[reportArgumentType]
    await database.close()


async def connect(store: PostgresStore, team_id: TeamId, address: str) -> str:
    try:
        async with store.team(team_id) as records:
            known = await records.mailboxes.of_account(address)
            mailbox_id = known.id if known else MailboxId(str(uuid.uuid4()))
            await records.mailboxes.connect(ConnectedAccount(mailbox_id, address), b"grant", BOUND)
    except AppError as error:
        return error.reason
    return "OK"


async def test_many_at_once_connect_exactly_as_many_as_the_plan_allows(store: PostgresStore) -> None:
    """One more than fits is one too many; a known account is no new one."""
    team_id = TeamId(str(uuid.uuid4()))
    asked = (connect(store, team_id, f"{number}@example.com") for number in range(40))
    reasons = await asyncio.gather(*asked)
    assert (reasons.count("OK"), reasons.count("MAILBOX_QUOTA")) == (BOUND, 40 - BOUND)
    async with store.team(team_id) as records:
        known = [mailbox.email_address for mailbox in await records.mailboxes.list(limit=50)]
    assert await connect(store, team_id, known[0]) == "OK"


async def test_teams_do_not_count_for_each_other(store: PostgresStore) -> None:
    """Nor wait for each other."""
    teams = [TeamId(str(uuid.uuid4())) for _ in range(4)]
    assert await asyncio.gather(*(connect(store, team, "a@example.com") for team in teams)) == ["OK"] * 4


async def test_two_hundred_at_once_on_two_replicas_connect_exactly_ten(databases: Databases) -> None:
    """Each replica has its own connections; the lock is in the database that they share."""
    team_id = TeamId(str(uuid.uuid4()))
    replicas = [Database(databases.mail.app_url, pool_size=10) for _ in range(2)]
    stores = [PostgresStore(database, RecordingQueue()) for database in replicas]  # pyright: ignore[reportArgumentType]

    async def connect_one(number: int) -> str:
        try:
            async with stores[number % 2].team(team_id) as records:
                account = ConnectedAccount(MailboxId(str(uuid.uuid4())), f"{number}@example.com")
                await records.mailboxes.connect(account, b"grant", 10)
        except AppError as error:
            return error.reason
        return "OK"

    reasons = await asyncio.gather(*(connect_one(number) for number in range(200)))
    assert reasons.count("OK") == 10
    # Whoever could not get a connection in time on a busy machine was told so, and connected nothing.
    assert set(reasons) <= {"OK", "MAILBOX_QUOTA", "DATABASE_DOWN"}
    async with stores[0].team(team_id) as records:
        assert len(await records.mailboxes.list(limit=50)) == 10
    for database in replicas:
        await database.close()
