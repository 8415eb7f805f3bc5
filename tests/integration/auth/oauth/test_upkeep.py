"""What ended by itself goes, in batches, and nothing else does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.oauth.adapters.postgres_clients import PostgresClients
from services.auth.oauth.adapters.postgres_upkeep import PostgresEnded
from services.auth.oauth.domain.clients import Client
from services.auth.oauth.events import registered
from services.auth.oauth.operations.upkeep import RemoveEnded
from tests.integration.auth.oauth.test_code_flow import reason_of
from tests.integration.auth.oauth.world import Key, World

TABLES = (
    "oauth_codes",
    "oauth_refresh_tokens",
    "oauth_revoked_tokens",
    "oauth_grants",
    "oauth_sessions",
    "revocations",
)


@pytest_asyncio.fixture
async def remove(world: World) -> AsyncIterator[RemoveEnded]:
    yield RemoveEnded(PostgresEnded(world.database))


async def counts(world: World, team_id: str) -> dict[str, int]:
    return {
        table: (await world.own(f"SELECT count(*) FROM {table} WHERE team_id = %s", team_id))[0][0]
        for table in TABLES
    }


async def used(world: World) -> tuple[str, Key, dict[str, str]]:
    """A grant with a used code, two refresh tokens, a revoked access token, a sign-in."""
    client, key = (await world.register())["client_id"], await world.key()
    got = (await world.redeem(client, await world.code(client, key))).json
    fresh = (await world.refresh(client, got["refresh_token"])).json
    form = {"client_id": client, "token": got["access_token"]}
    assert (await world.call("POST", "/oauth/revoke", data=form)).status == 200
    return client, key, fresh


async def age(world: World, key: Key, **columns: timedelta) -> None:
    """Move a column of a table into the past: `oauth_grants__expires_at=timedelta(days=31)`."""
    for name, ago in columns.items():
        table, _, column = name.partition("__")
        await world.own(
            f"UPDATE {table} SET {column} = %s WHERE team_id = %s", datetime.now(UTC) - ago, key.team_id
        )


async def test_what_still_matters_stays(world: World, remove: RemoveEnded) -> None:
    """Used codes and refresh tokens too: a replay of them must still end the grant."""
    client, key, fresh = await used(world)
    before = await counts(world, key.team_id)
    await remove()
    assert await counts(world, key.team_id) == before
    assert before == {
        "oauth_codes": 1,
        "oauth_refresh_tokens": 2,
        "oauth_revoked_tokens": 1,
        "oauth_grants": 1,
        "oauth_sessions": 1,
        "revocations": 1,
    }
    assert (await world.refresh(client, fresh["refresh_token"])).status == 200


@pytest.mark.parametrize(
    ("aged", "stays", "goes"),
    [
        ("oauth_codes__expires_at", timedelta(hours=23), timedelta(hours=25)),
        ("oauth_refresh_tokens__expires_at", timedelta(minutes=-1), timedelta(minutes=1)),
        ("oauth_revoked_tokens__expires_at", timedelta(minutes=59), timedelta(minutes=61)),
        ("oauth_grants__expires_at", timedelta(days=29), timedelta(days=31)),
        ("oauth_grants__revoked_at", timedelta(days=29), timedelta(days=31)),
        ("revocations__revoked_at", timedelta(days=30, hours=12), timedelta(days=32)),
    ],
)
async def test_what_ended_goes_when_its_time_has_come(
    world: World, remove: RemoveEnded, aged: str, stays: timedelta, goes: timedelta
) -> None:
    """Each kind has its own; with a grant go its codes and refresh tokens."""
    table = aged.partition("__")[0]
    _, key, _ = await used(world)
    await age(world, key, **{aged: stays})
    await remove()
    assert (await counts(world, key.team_id))[table] > 0
    await age(world, key, **{aged: goes})
    removed = await remove()
    left = await counts(world, key.team_id)
    assert left[table] == 0
    assert sum(removed.values()) > 0
    if table == "oauth_grants":
        assert (left["oauth_codes"], left["oauth_refresh_tokens"]) == (0, 0)


async def test_a_sign_in_goes_after_the_grants_that_hang_on_it(world: World, remove: RemoveEnded) -> None:
    """As long as there is something to end with it, it can be ended."""
    _, key, _ = await used(world)
    await age(world, key, oauth_sessions__expires_at=timedelta(days=2))
    await remove()
    assert (await counts(world, key.team_id))["oauth_sessions"] == 1
    await age(world, key, oauth_grants__expires_at=timedelta(days=31))
    await remove()
    await remove()
    assert (await counts(world, key.team_id))["oauth_sessions"] == 0


async def test_clients_that_nobody_ever_allowed_anything_go_after_a_day(
    world: World, remove: RemoveEnded
) -> None:
    """Those that hold something stay, however old they are."""
    unused, kept = (await world.register())["client_id"], (await world.register())["client_id"]
    key = await world.key()
    got = (await world.redeem(kept, await world.code(kept, key))).json
    for client in (unused, kept):
        await world.own(
            "UPDATE oauth_clients SET created_at = now() - interval '2 days' WHERE id = %s", client
        )
    await remove()
    assert (await world.call("GET", world.asking(unused))).status == 401
    assert (await world.call("GET", world.asking(kept))).status == 200
    assert await reason_of(world, got["access_token"]) == "ACCEPTED"


async def test_it_is_done_in_bounded_batches(world: World) -> None:
    """No transaction holds more rows than that, and all of it goes."""
    key = await world.key()
    for _ in range(7):
        await world.own(
            "INSERT INTO oauth_revoked_tokens VALUES (%s, %s, now() - interval '2 hours')",
            uuid4().hex,
            key.team_id,
        )

    class Counting(PostgresEnded):
        """Remembers what each batch took."""

        def __init__(self) -> None:
            super().__init__(world.database)
            self.taken: list[int] = []

        async def remove(self, batch: int) -> dict[str, int]:
            removed = dict(await super().remove(batch))
            self.taken.append(removed["revoked_token"])
            return removed

    ended = Counting()
    removed = await RemoveEnded(ended, batch=3)()
    assert removed["revoked_token"] >= 7
    assert max(ended.taken) <= 3
    assert (await counts(world, key.team_id))["oauth_revoked_tokens"] == 0
    again = Counting()
    assert await RemoveEnded(again, batch=3, max_batches=1)() == {}
    assert len(again.taken) == 1


async def test_while_one_replica_does_it_another_finds_nothing_to_do(world: World) -> None:
    """Neither waits for the other."""
    ended = PostgresEnded(world.database)
    async with world.database.transaction({}) as connection:
        first = (await connection.execute(sa.text("SELECT * FROM oauth_upkeep(10)"))).all()
        assert len(first) == 8
        assert await ended.remove(10) == {}
    assert set(await ended.remove(10)) == {
        "code",
        "refresh_token",
        "revoked_token",
        "grant",
        "session",
        "client",
        "revocation",
        "revoked_right",
    }


async def test_the_role_that_serves_can_remove_nothing_else_across_teams(world: World) -> None:
    """It calls the function or sees its own team; a batch has bounds."""
    _, key, _ = await used(world)
    for table in TABLES:
        async with world.database.transaction({}) as connection:
            assert (await connection.execute(sa.text(f"DELETE FROM {table}"))).rowcount == 0
    assert min((await counts(world, key.team_id)).values()) > 0
    for batch in (0, -1, 10_001):
        with pytest.raises(DBAPIError, match="a batch is"):
            await PostgresEnded(world.database).remove(batch)


async def test_who_registers_much_fills_no_table(world: World) -> None:
    """Only so many that nobody allowed anything; the oldest make room after an hour, not before."""
    clients = PostgresClients(world.database, PostgresAudit(world.database), max_unused=3)
    await world.own("DELETE FROM oauth_clients WHERE last_used_at IS NULL")
    now = datetime.now(UTC)

    async def register(number: int, at: datetime) -> bool:
        client = Client(f"mc_{number:022d}", "x", ("https://a.example/cb",))
        return await clients.add(client, at, registered(client.id))

    assert [await register(number, now) for number in range(4)] == [True, True, True, False]
    assert not await register(5, now + timedelta(minutes=59))
    assert await register(6, now + timedelta(minutes=61))
    await world.own("DELETE FROM oauth_clients WHERE last_used_at IS NULL")
