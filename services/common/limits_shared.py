"""Exact counting across replicas: one script on Redis or Valkey, and what happens when it is away.

The server's own clock stamps every request, so clocks of replicas need not agree. Each replica also
remembers what it let in itself: with that it refuses without asking, and counts alone while the server is
away. Then a limit holds for each replica instead of for all of them together, and it still holds.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import metrics
from valkey.asyncio import Valkey
from valkey.exceptions import NoScriptError, ValkeyError

from services.common.limits import WINDOW_S, Limit, Standing, Verdict, judged
from services.common.limits_memory import MemoryWindows
from services.common.telemetry import get_logger

_PREFIX: Final = "mailwarden:limit:"
_MAX_BATCH: Final = 256
_MICRO: Final = 1_000_000

_SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = tonumber(ARGV[1])
local counts, admitted = {}, true
for i, key in ipairs(KEYS) do
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  counts[i] = redis.call('LLEN', key)
  admitted = admitted and counts[i] < tonumber(ARGV[i + 2])
end
local answer = {}
for i, key in ipairs(KEYS) do
  local limit, count = tonumber(ARGV[i + 2]), counts[i]
  local remaining = limit - count
  if admitted and ARGV[2] == '1' then
    redis.call('RPUSH', key, string.format('%.0f', now))
    redis.call('PEXPIRE', key, window / 1000)
    remaining, count = remaining - 1, count + 1
  elseif remaining <= 0 then
    remaining = -1
  end
  local leaving = redis.call('LINDEX', key, math.max(0, count - limit))
  local reset = 0
  if leaving then reset = leaving + window - now elseif limit <= 0 then reset = window end
  answer[#answer + 1] = remaining
  answer[#answer + 1] = reset
end
return answer
"""
"""A list of the times of admitted requests for each subject, oldest first, in microseconds.
Answers `remaining` (-1: refused by this limit) and `reset` in microseconds, for each limit."""

_alone: Final = metrics.get_meter("mailwarden").create_counter(
    "mailwarden_limiter_alone_total",
    description="Requests counted by this replica alone, because the shared counters did not answer.",
)


@dataclass(frozen=True, slots=True)
class _Asked:
    limits: Sequence[Limit]
    counts: bool
    answer: asyncio.Future[list[int]]

    def command(self, digest: str) -> list[Any]:
        keys = [_PREFIX + limit.subject for limit in self.limits]
        numbers = [limit.per_minute for limit in self.limits]
        return ["EVALSHA", digest, len(keys), *keys, int(WINDOW_S * _MICRO), int(self.counts), *numbers]


class SharedWindows:
    """Counts for all processes that share a server. Nothing here raises: a lost server means counting alone.

    `timeout_s` bounds one round trip; after a failure the server is left alone for `retry_s`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 0.25,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = _Counters(url, timeout_s)
        self._retry_s = retry_s
        self._clock = clock
        self._own = MemoryWindows(clock)
        self._away_until = 0.0
        self.is_alone = False

    async def admit(self, limits: Sequence[Limit], *, counts: bool = True) -> Verdict:
        """Let a request in and count it, or refuse it."""
        now = self._clock()
        own = self._own.admit_now(limits, counts=False)
        if own.refused is not None:
            return own  # what we let in ourselves is part of what all let in
        if now < self._away_until:
            return self._admit_alone(limits, counts=counts)
        if self.is_alone:
            self._away_until = now + self._retry_s  # one asks, the others do not wait for it
        try:
            verdict = _verdict(limits, await self._counters.ask(limits, counts=counts))
        except (OSError, TimeoutError, ValkeyError) as error:
            self._note_loss(error)
            return self._admit_alone(limits, counts=counts)
        self._note_return()
        return self._noted(limits, now, verdict) if counts and verdict.refused is None else verdict

    async def close(self) -> None:
        """Close the connection."""
        await self._counters.close()

    def _noted(self, limits: Sequence[Limit], asked_at: float, verdict: Verdict) -> Verdict:
        # Meanwhile others were let in too, and a server that has lost its memory knows nothing of them.
        own = self._own.admit_now(limits, counts=False)
        if own.refused is not None:
            return own
        self._own.note(limits, asked_at)
        return verdict

    def _admit_alone(self, limits: Sequence[Limit], *, counts: bool) -> Verdict:
        _alone.add(1)
        return self._own.admit_now(limits, counts=counts)

    def _note_loss(self, error: Exception) -> None:
        self._away_until = self._clock() + self._retry_s
        if not self.is_alone:
            self.is_alone = True
            get_logger().warning("limits_counted_alone", error=type(error).__name__)

    def _note_return(self) -> None:
        self._away_until = 0.0
        if self.is_alone:
            self.is_alone = False
            get_logger().info("limits_shared_again")


class _Counters:
    """The server. Whatever is asked during one round trip goes out together in the next.

    One task owns the connection, so a request that is cancelled never leaves half an answer behind.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = Valkey.from_url(url)
        self._timeout_s = timeout_s
        self._waiting: list[_Asked] = []
        self._sender: asyncio.Task[None] | None = None
        self._digest = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def ask(self, limits: Sequence[Limit], *, counts: bool) -> list[int]:
        """Run the script. Raises OSError, TimeoutError, ValkeyError."""
        asked = _Asked(limits, counts, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())
        return await asked.answer

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender
        await self._client.aclose()

    async def _send_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            try:
                async with asyncio.timeout(self._timeout_s):
                    answers = await self._round_trip(batch)
            except (OSError, TimeoutError, ValkeyError) as error:
                await self._client.connection_pool.disconnect()
                answers = [error] * len(batch)
            for asked, answer in zip(batch, answers, strict=True):
                _settle(asked.answer, answer)

    async def _round_trip(self, batch: Sequence[_Asked]) -> list[Any]:
        answers = await self._run(batch)
        missed = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missed:  # a server that has just started: nothing was counted
            await self._client.script_load(_SCRIPT)
            again = await self._run([batch[i] for i in missed])
            for i, answer in zip(missed, again, strict=True):
                answers[i] = answer
        return answers

    async def _run(self, batch: Sequence[_Asked]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for asked in batch:
                pipe.execute_command(*asked.command(self._digest))
            return await pipe.execute(raise_on_error=False)


def _settle(future: asyncio.Future[list[int]], answer: Any) -> None:
    if future.done():  # whoever asked has gone
        return
    if isinstance(answer, Exception):
        # An error of its own for each: a shared one would gather the frames of all.
        future.set_exception(ValkeyError(type(answer).__name__))
    else:
        future.set_result(answer)


def _verdict(limits: Sequence[Limit], answer: Sequence[int]) -> Verdict:
    return judged(
        tuple(Standing(limit, answer[2 * i], answer[2 * i + 1] / _MICRO) for i, limit in enumerate(limits))
    )
