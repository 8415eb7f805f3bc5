"""The job queue on real PostgreSQL: nothing is lost, nothing is forgotten."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from services.common.database import Database
from services.common.errors import invalid, unavailable
from services.mail_core.adapters.job_queue import JobQueue
from services.mail_core.adapters.operation_changes import PostgresOperationChanges
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.operation import OperationKind, Phase, Progress
from services.mail_core.domain.records import Operation
from services.mail_core.operations.request_operation import OperationRequest, request_operation
from tests.integration.mail_core.operations.world import World
from tests.postgres import Databases


class Worker:
    """Takes jobs as the mail core does, and does what a test says."""

    def __init__(self) -> None:
        self.runs: list[OperationId] = []
        self.failures: list[BaseException] = []
        self.ran = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def __call__(self, _team_id: TeamId, operation_id: OperationId, _is_last_try: bool) -> None:
        self.runs.append(operation_id)
        self.ran.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            raise self.failures.pop(0)

    async def has_run(self, times: int) -> None:
        async with asyncio.timeout(20):
            while len(self.runs) < times:
                self.ran.clear()
                await self.ran.wait()


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    database = Database(databases.mail.app_url)
    async with database.transaction({}) as connection:
        await connection.execute(sa.text("DELETE FROM procrastinate_jobs"))
    yield database
    await database.close()


def queue_for(databases: Databases) -> JobQueue:
    return JobQueue(databases.mail.app_url, concurrency=2, heartbeat_s=0.3, stalled_s=1.0)


@asynccontextmanager
async def asked(database: Database, queue: JobQueue, *, commits: bool = True) -> AsyncIterator[Operation]:
    """Ask for one operation, in a transaction that commits or does not."""
    world = World(database)
    mailbox = await world.connect()
    store = PostgresStore(database, queue)

    class GoesBackError(Exception): ...

    try:
        async with store.team(world.team_id) as records:
            request = OperationRequest(OperationKind.SCAN, str(uuid.uuid4()), {})
            operation = await request_operation(records, mailbox, world.call(), request, world.now)
            if not commits:
                raise GoesBackError  # noqa: TRY301 the transaction is to go back here
    except GoesBackError:
        pass
    yield operation


async def test_queued_operation_runs_once(databases: Databases, database: Database) -> None:
    """Queued before a worker exists, it runs when one comes."""
    queue, worker = queue_for(databases), Worker()
    async with asked(database, queue) as operation, queue.working(worker, drain_s=5):
        await worker.has_run(1)
    assert worker.runs == [operation.id]


async def test_operation_of_a_transaction_that_went_back_never_runs(
    databases: Databases, database: Database
) -> None:
    """The job is in the same transaction as the operation."""
    queue, worker = queue_for(databases), Worker()
    async with asked(database, queue, commits=False):
        pass
    async with asked(database, queue) as committed, queue.working(worker, drain_s=5):
        await worker.has_run(1)
    assert worker.runs == [committed.id]


async def test_temporary_failure_is_tried_again(databases: Databases, database: Database) -> None:
    """UNAVAILABLE comes back after a while."""
    queue, worker = queue_for(databases), Worker()
    worker.failures = [unavailable("GMAIL_DOWN", "Later.")]
    async with asked(database, queue), queue.working(worker, drain_s=5):
        await worker.has_run(2)


async def test_lasting_failure_is_kept_as_a_dead_letter(databases: Databases, database: Database) -> None:
    """What no second try can mend stays listed as failed."""
    queue, worker = queue_for(databases), Worker()
    worker.failures = [invalid("X", "No.")]
    async with asked(database, queue), queue.working(worker, drain_s=5):
        await worker.has_run(1)
    async with database.transaction({}) as connection:
        # Upkeep, which comes with the minute, has jobs of its own.
        ours = sa.text("SELECT status::text FROM procrastinate_jobs WHERE task_name = 'run_operation'")
        statuses = (await connection.scalars(ours)).all()
    assert statuses == ["failed"]


@pytest.mark.promise("outages.queue")
async def test_job_cut_off_by_a_shutdown_runs_again(databases: Databases, database: Database) -> None:
    """A drain that ends before the job does gives it back to the queue."""
    queue, worker = queue_for(databases), Worker()
    worker.hold = asyncio.Event()
    async with asked(database, queue):
        async with queue.working(worker, drain_s=0):
            await worker.has_run(1)
        second = Worker()
        async with queue_for(databases).working(second, drain_s=5):
            await second.has_run(1)
    assert second.runs == worker.runs


@pytest.mark.promise("outages.queue")
async def test_job_of_a_dead_worker_is_rescued(databases: Databases, database: Database) -> None:
    """A worker that stopped beating loses its job to a living one."""
    queue, worker = queue_for(databases), Worker()
    async with asked(database, queue) as operation:
        async with database.transaction({}) as connection:
            await connection.execute(
                sa.text(
                    "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
                    " VALUES (now() - interval '1 hour') RETURNING id)"
                    " UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM dead)"
                )
            )
        async with queue.working(worker, drain_s=5):
            await worker.has_run(1)
    assert worker.runs == [operation.id]


async def test_change_in_another_process_wakes_a_watcher(databases: Databases, database: Database) -> None:
    """A watcher ticks when the transaction of a change commits."""
    queue, changes = queue_for(databases), PostgresOperationChanges(databases.mail.app_url)
    async with asyncio.timeout(20), changes.listening(), asked(database, queue) as operation:
        with changes.watch(operation.id) as ticks:
            store = PostgresStore(database, queue)
            async with store.team(operation.team_id) as records:
                await records.operations.report_progress(operation.id, Progress(1, 2, Phase.FETCHING))
            await anext(ticks)
        async with store.team(operation.team_id) as records:
            found = await records.operations.find(operation.id)
    assert found is not None
    assert found.progress == Progress(1, 2, Phase.FETCHING)
    assert found == replace(operation, progress=found.progress, updated_at=found.updated_at)
