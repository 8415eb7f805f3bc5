"""Work ends with the right to it: what a revoked key, grant or team had asked for is cancelled."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from services.mail_core.adapters.postgres_open_operations import PostgresOpenOperations
from services.mail_core.domain.operation import OperationState
from services.mail_core.domain.records import Operation
from services.mail_core.operations.stop_revoked import Revocations, StopRevoked
from tests.integration.mail_core.operations.world import World, letter


@pytest.fixture
def key() -> str:
    """A key of this test alone: what hangs on it is looked for in all teams."""
    return f"key:{uuid.uuid4()}"


def stopping(world: World) -> StopRevoked:
    return StopRevoked(PostgresOpenOperations(world.database), world.store)


async def asked(world: World, *roots: str) -> Operation:
    """Have a scan asked for by a right that hangs on these."""
    call = world.call(roots=frozenset({f"team:{world.team_id}", *roots}))
    return await world.ask.scan(call, "me", "", dry_run=False, max_messages=0)


async def state_of(world: World, operation: Operation) -> OperationState:
    return (await world.operation(operation)).state


@pytest.mark.promise("revocation.work")
async def test_what_a_revoked_key_asked_for_is_cancelled_and_nothing_else(world: World, key: str) -> None:
    """Another key's work stays; the second time there is nothing left to stop."""
    ours, others = await asked(world, key), await asked(world, "key:other")
    stop, now = stopping(world), world.now().timestamp()
    assert [await stop(key, now) for _ in range(2)] == [1, 0]
    assert await state_of(world, ours) is OperationState.CANCELLED
    assert await state_of(world, others) is OperationState.QUEUED


@pytest.mark.promise("revocation.work")
async def test_with_a_team_all_of_its_work_ends_and_that_of_others_goes_on(world: World, key: str) -> None:
    """A team that is switched off does nothing more."""
    other = World(world.database)
    await other.connect()
    ours, theirs = await asked(world, key), await asked(other, "key:other")
    assert await stopping(world)(f"team:{world.team_id}", world.now().timestamp()) == 1
    assert await state_of(world, ours) is OperationState.CANCELLED
    assert await state_of(other, theirs) is OperationState.QUEUED


async def test_work_of_a_team_that_was_switched_on_again_is_not_stopped_by_what_was_before(
    world: World,
    key: str,
) -> None:
    """The stream may tell of an old revocation once more."""
    later = await asked(world, key)
    before = (world.now() - timedelta(minutes=1)).timestamp()
    assert await stopping(world)(f"team:{world.team_id}", before) == 0
    assert await state_of(world, later) is OperationState.QUEUED


@pytest.mark.promise("revocation.work")
async def test_work_that_runs_stops_before_its_next_step(world: World, key: str) -> None:
    """What was sent was sent, and is told; nothing more is sent."""
    names = [f"list-{number}.news.example" for number in range(12)]
    for name in names:
        world.gmail.deliver(*letter(name).items())
    await world.scan()
    ids = [subscription.id for subscription in (await world.subscriptions()).values()]
    call = world.call(roots=frozenset({key}))
    operation = await world.ask.unsubscribe(call, "me", "", ids, dry_run=False)
    world.one_click.holds = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(world.run_all())
        while not world.one_click.posted:
            await asyncio.sleep(0.01)
        assert await stopping(world)(key, world.now().timestamp()) == 1
        world.one_click.holds.set()
        await running
    assert await state_of(world, operation) is OperationState.CANCELLED
    assert 1 <= len(world.one_click.posted) < len(names)


async def test_what_is_heard_is_stopped_also_after_a_database_that_was_down(world: World, key: str) -> None:
    """Nothing is forgotten, and one that fails does not keep the next from being stopped."""
    ours = await asked(world, key)
    heard: Revocations = asyncio.Queue()
    stopper = asyncio.create_task(stopping(world).keep_stopping(heard))
    heard.put_nowait(("key:nobody", world.now().timestamp()))
    heard.put_nowait((key, world.now().timestamp()))
    async with asyncio.timeout(30):
        while await state_of(world, ours) is not OperationState.CANCELLED:
            await asyncio.sleep(0.01)
    stopper.cancel()
