"""Remembers finished and waiting tasks for a while, each for the caller that it was made for.

This is a convenience of one replica, bounded in number and time. What must not be lost is an operation of
the core, and is read from there.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from a2a.types.a2a_pb2 import Task

from services.common.identity import Caller
from services.edge_a2a.messages import Asked


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a task belongs to: nobody else can see that it exists."""

    team_id: str
    principal: str

    @classmethod
    def of(cls, caller: Caller) -> "Owner":
        """Take the owner from a verified caller."""
        return cls(caller.team_id, caller.principal)


@dataclass(frozen=True, slots=True)
class Kept:
    """A remembered task. `asked` is what it waits to do; `is_operation` when the core knows more."""

    task: Task
    expires_at: float
    asked: Asked | None
    is_operation: bool


class TaskStore:
    """A bounded memory of tasks. Times are on the monotonic clock, in seconds."""

    def __init__(
        self, max_tasks: int, max_per_owner: int, life_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_tasks = max_tasks
        self._max_per_owner = max_per_owner
        self._life_s = life_s
        self._now = now
        self._of: OrderedDict[Owner, OrderedDict[str, Kept]] = OrderedDict()
        self._count = 0
        self._waiters: dict[tuple[Owner, str], set[asyncio.Future[Task | None]]] = {}

    def keep(
        self, owner: Owner, task: Task, *, asked: Asked | None = None, is_operation: bool = False
    ) -> None:
        """Remember a task, forgetting the oldest where there are too many."""
        own = self._of.setdefault(owner, OrderedDict())
        self._count += task.id not in own
        own[task.id] = Kept(task, self._now() + self._life_s, asked, is_operation)
        own.move_to_end(task.id)
        self._of.move_to_end(owner)
        if len(own) > self._max_per_owner:
            self._forget_oldest_of(owner)
        self._tell(owner, task.id, task)
        while self._count > self._max_tasks:
            # The owner who has been silent longest loses first.
            self._forget_oldest_of(next(iter(self._of)))

    def find(self, owner: Owner, task_id: str) -> Kept | None:
        """Find a task of this owner; None when there is none, or no more."""
        self._forget_expired(owner)
        return self._of.get(owner, {}).get(task_id)

    def all_of(self, owner: Owner) -> Iterator[Kept]:
        """Give all tasks of an owner, the newest first."""
        self._forget_expired(owner)
        yield from reversed(list(self._of.get(owner, {}).values()))

    async def changed(self, owner: Owner, last: Task) -> Task | None:
        """Wait until a task is not as it was; None when that is not to be waited for any more."""
        kept = self.find(owner, last.id)
        if kept is None or kept.task.status != last.status:
            return kept.task if kept else None
        waiter: asyncio.Future[Task | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault((owner, last.id), set()).add(waiter)
        try:
            async with asyncio.timeout(self._life_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            self._forget_waiter((owner, last.id), waiter)

    def release(self) -> None:
        """Let everybody go who waits for a change: the process drains."""
        for owner, task_id in list(self._waiters):
            self._tell(owner, task_id, None)

    def _tell(self, owner: Owner, task_id: str, task: Task | None) -> None:
        for waiter in self._waiters.pop((owner, task_id), ()):
            if not waiter.done():
                waiter.set_result(task)

    def _forget_waiter(self, key: tuple[Owner, str], waiter: asyncio.Future[Task | None]) -> None:
        waiters = self._waiters.get(key, set())
        waiters.discard(waiter)
        if not waiters:
            self._waiters.pop(key, None)

    def _forget_expired(self, owner: Owner) -> None:
        while (own := self._of.get(owner)) and next(iter(own.values())).expires_at <= self._now():
            self._forget_oldest_of(owner)

    def _forget_oldest_of(self, owner: Owner) -> None:
        own = self._of[owner]
        own.popitem(last=False)
        self._count -= 1
        if not own:
            del self._of[owner]
