"""Work ends with the right to it: what a revoked key, grant or team had asked for is cancelled."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from services.mail_core.adapters.postgres_open_operations import PostgresOpenOperations
from services.mail_core.domain.operation import OperationState
from services.mail_core.domain.records import Operation
from services.mail_core.operations.stop_revoked import Revocations, StopRevoked
from tests.integration.mail_core.operations.test_audit import outbox
from tests.integration.mail_core.operations.world import World, letter


@pytest.fixture
def key() -> str:
    """A key of this test alone: what hangs on it is looked for in all teams."""
    return f"key:{uuid.uuid4()}"


def stopping(world: World) -> StopRevoked:
    return StopRevoked(PostgresOpenOperations(world.database), world.store)


async def asked(world: World, *roots: str, issued_at: float = 0.0) -> Operation:
    """Have a scan asked for by a right that hangs on these."""
    call = world.call(roots=frozenset({f"team:{world.team_id}", *roots}), issued_at=issued_at)
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


@pytest.mark.promise("revocation.work")
async def test_work_whose_right_is_gone_when_it_begins_is_cancelled_and_recorded_once(
    world: World, key: str
) -> None:
    """Nobody heard of the revocation; a second run of the same job finds nothing to do."""
    ours, others = await asked(world, key), await asked(world, "key:other")
    world.rights.gone.add(key)
    queued = list(world.queue.queued)
    await world.run_all()
    for job in queued:
        await world.runner(world.team_id, job.id, is_last_try=True)
    assert await state_of(world, ours) is OperationState.CANCELLED
    assert await state_of(world, others) is OperationState.SUCCEEDED
    assert await stops_recorded(world) == [f"operation:{ours.id}"]


async def test_work_that_a_crash_interrupted_sends_nothing_more_when_its_right_is_gone(
    world: World, key: str
) -> None:
    """It is begun again to be concluded, and stops before its first step."""
    world.gmail.deliver(*letter("list.news.example").items())
    await world.scan()
    ids = [subscription.id for subscription in (await world.subscriptions()).values()]
    call = world.call(roots=frozenset({key}))
    operation = await world.ask.unsubscribe(call, "me", "", ids, dry_run=False)
    async with world.store.team(world.team_id) as records:
        await records.operations.start(operation.id)  # as far as the crash
    world.rights.gone.add(key)
    assert (await world.run_all()).state is OperationState.CANCELLED
    assert world.one_click.posted == []


async def test_work_waits_while_nobody_knows_whether_its_right_stands(world: World, key: str) -> None:
    """An outage of auth makes no work fail, however long it is, and lets none begin."""
    operation = await asked(world, key)
    world.rights.is_away = True
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(world.run_all())
        while len(world.rights.asked) < 20:
            await asyncio.sleep(0)
        assert await state_of(world, operation) is OperationState.QUEUED
        world.rights.is_away = False
    assert await state_of(world, operation) is OperationState.SUCCEEDED


async def test_what_counts_is_when_the_right_was_stated_not_when_it_was_used(world: World, key: str) -> None:
    """A core that heard nothing takes a passport for up to a minute after the key behind it was revoked."""
    revoked_at = world.now().timestamp()
    world.later(seconds=50)
    before = await asked(world, key, issued_at=revoked_at - 5)
    after = await asked(world, key, issued_at=revoked_at + 5)
    assert await stopping(world)(key, revoked_at) == 1
    assert await state_of(world, before) is OperationState.CANCELLED
    assert await state_of(world, after) is OperationState.QUEUED


async def stops_recorded(world: World) -> list[str]:
    return [event.resource for event in await outbox(world) if event.reason == "CREDENTIAL_REVOKED"]
