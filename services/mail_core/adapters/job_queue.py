"""Background work in the same database, by procrastinate (ADR 0005).

A job holds ids only: the team and the operation. It is queued in the transaction that makes the
operation, so neither exists without the other.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import procrastinate
from procrastinate import RetryDecision
from procrastinate.jobs import Job
from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.errors import AppError
from services.common.telemetry import get_logger
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.records import Operation

RunOperation = Callable[[TeamId, OperationId, bool], Awaitable[None]]
"""Does an operation's work; the flag says that this is the last try."""

MAX_TRIES: Final = 6
_FIRST_WAIT_S: Final = 1
_MAX_WAIT_S: Final = 300
_RESTART_WAIT_S: Final = 1.0
_TASK: Final = "run_operation"


class _Retry(procrastinate.BaseRetryStrategy):
    """Again at once when the process was stopped, later when something we need was down."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if (
            not isinstance(exception, AppError)
            or not exception.mapped.retryable
            or job.attempts >= MAX_TRIES - 1
        ):
            return None
        wait_s = max(exception.retry_after_s or 0, _FIRST_WAIT_S * 3**job.attempts)
        return RetryDecision(retry_in={"seconds": int(min(wait_s, _MAX_WAIT_S))})


class JobQueue:
    """Queues operations and works on them."""

    def __init__(self, database_url: str, *, concurrency: int, heartbeat_s: float, stalled_s: float) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=database_url, min_size=1, max_size=4)
        self._app = procrastinate.App(connector=connector)
        self._concurrency = concurrency
        self._heartbeat_s = heartbeat_s
        self._stalled_s = stalled_s
        self._run: RunOperation | None = None
        self._task = self._app.task(name=_TASK, queue="operations", retry=_Retry(), pass_context=True)(
            self._work
        )
        self._app.periodic(cron="* * * * * */5", periodic_id="rescue")(
            self._app.task(name="rescue_stalled", queue="upkeep", queueing_lock="rescue")(self._rescue)
        )

    async def enqueue(self, connection: AsyncConnection, operation: Operation) -> None:
        """Queue an operation in the transaction of `connection`. Scans of one mailbox go one by one."""
        raw = (await connection.get_raw_connection()).driver_connection
        deferrer = self._task.configure(connection=raw, lock=f"{operation.kind}:{operation.mailbox_id}")
        await deferrer.defer_async(team_id=operation.team_id, operation_id=operation.id)

    @contextlib.asynccontextmanager
    async def working(self, run: RunOperation, drain_s: float):  # noqa: ANN201 async generator
        """Work on jobs until the block ends; what is then at work may finish within `drain_s`."""
        self._run = run
        async with self._app.open_async():
            working = asyncio.create_task(self._keep_working(drain_s))
            try:
                yield
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    async def _keep_working(self, drain_s: float) -> None:
        """Run a worker, and another when the database took the first one down."""
        while True:
            with contextlib.suppress(Exception):
                await self._app.run_worker_async(
                    concurrency=self._concurrency,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=drain_s,
                    update_heartbeat_interval=self._heartbeat_s,
                    stalled_worker_timeout=self._stalled_s,
                    fetch_job_polling_interval=1,
                    delete_jobs="successful",
                )
            get_logger().warning("worker_restarts")
            await asyncio.sleep(_RESTART_WAIT_S)

    async def _work(self, context: procrastinate.JobContext, team_id: str, operation_id: str) -> None:
        if self._run is None:
            raise RuntimeError("no work is done before `working` began")
        is_last_try = context.job.attempts >= MAX_TRIES - 1
        await self._run(TeamId(team_id), OperationId(operation_id), is_last_try)

    async def _rescue(self, timestamp: int) -> None:  # noqa: ARG002 the library hands it in
        """Give the jobs of workers that died back to the queue."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled_s):
            get_logger().warning("job_rescued", task=job.task_name)
            await manager.retry_job(job)
