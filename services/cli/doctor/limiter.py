"""Limiter: a burst from a fresh key is served exactly as often as its limit says, then refused."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp

from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.target import Target
from services.cli.doctor.throwaway import settled, throwaway_key, throwaway_team

_MAX_BURST: Final = 2_000
_MORE: Final = 5
_AT_ONCE: Final = 16
_WINDOW_S: Final = 55.0
_OK, _REFUSED = 200, 429
_TEAM_LEFT: Final = re.compile(r'"team";r=(\d+)')


@dataclass(frozen=True, slots=True)
class Answer:
    """What of an answer counts."""

    status: int
    limit: int
    remaining: int
    team_left: int | None
    retry_after: str


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Ask until refused."""
    rest = target.edges.get("rest", "")
    if not rest:
        yield skipped("limiter.rest", "the REST edge is not known")
        return
    timeout = aiohttp.ClientTimeout(total=_WINDOW_S)
    async with (
        throwaway_team(target.operator) as team_id,
        # A key that is not counted on waits until the team is believed to be on again.
        throwaway_key(target.operator, team_id) as waiting,
        throwaway_key(target.operator, team_id) as key,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        await settled(session, rest, waiting.secret)
        yield await burst(session, f"{rest}/v1/me", key.secret)


async def burst(session: aiohttp.ClientSession, url: str, secret: str) -> Finding:
    """Judge one door by a burst of its own limit and a little more."""
    name, started = "limiter.rest", time.monotonic()
    first = await _ask(session, url, secret)
    if first.status != _OK:
        return Finding(name, Status.FAIL, f"a fresh key is answered with {first.status}")
    if first.limit <= 0:
        return Finding(name, Status.FAIL, "answers carry no X-RateLimit-Limit: nothing is counted")
    if first.limit > _MAX_BURST:
        return Finding(name, Status.WARN, f"the limit is {first.limit} a minute, too many to be tried")
    if first.team_left is not None and first.team_left < first.limit + _MORE:
        return skipped(name, "the doctor's own team is near its limit; try again in a minute")
    answers = [first, *await _many(session, url, secret, first.limit - 1 + _MORE)]
    served = [answer for answer in answers if answer.status == _OK]
    refused = [answer for answer in answers if answer.status == _REFUSED]
    problems = []
    if len(served) != first.limit:
        problems.append(f"{len(served)} requests were served where the limit is {first.limit} a minute")
    if len(served) > first.limit:
        problems.append("replicas may count apart: they need one REDIS_URL")
    if any(not answer.retry_after or answer.limit != first.limit for answer in refused):
        problems.append("a refusal lacks Retry-After or X-RateLimit-Limit")
    if other := {answer.status for answer in answers} - {_OK, _REFUSED}:
        problems.append(f"some were answered with {sorted(other)}")
    if time.monotonic() - started > _WINDOW_S:
        return Finding(name, Status.WARN, "the burst took longer than the window; this machine is too slow")
    fine = (
        f"{first.limit} of {len(answers)} requests were served, the others refused with 429 and Retry-After"
    )
    return judged(name, problems, fine)


async def _many(session: aiohttp.ClientSession, url: str, secret: str, count: int) -> list[Answer]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one() -> Answer:
        async with turns:
            return await _ask(session, url, secret)

    return await asyncio.gather(*(one() for _ in range(count)))


async def _ask(session: aiohttp.ClientSession, url: str, secret: str) -> Answer:
    async with session.get(url, headers={"X-API-Key": secret}) as answer:
        await answer.read()
        team = _TEAM_LEFT.search(answer.headers.get("RateLimit", ""))
        return Answer(
            answer.status,
            _number(answer.headers.get("X-RateLimit-Limit", "")),
            _number(answer.headers.get("X-RateLimit-Remaining", "")),
            int(team[1]) if team else None,
            answer.headers.get("Retry-After", ""),
        )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
