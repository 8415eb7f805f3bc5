"""Words of rate limiting: what is limited, how a subject stands, and how both are told to clients.

A limit holds for every span of 60 seconds, not for calendar minutes: nobody gets twice as much by asking
around the turn of a minute. How requests are counted is `limits_memory` and `limits_shared`, what an edge
counts is `limits_edge`.
"""

import math
import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from services.common.errors import AppError, exhausted

WINDOW_S: Final = 60.0
REFUSED: Final = "RATE_LIMIT_EXCEEDED"

_WHOSE: Final = {
    "key": "of this credential",
    "team": "of this team's credentials together",
    "address": "without a credential from this address",
    "failures": "with refused credentials from this address",
}


class Limit(NamedTuple):
    """At most `per_minute` requests of a subject in any 60 seconds.

    `name` says what kind of subject it is: `key` (a credential), `team`, `address`, `failures`.
    """

    name: str
    subject: str
    per_minute: int


class Standing(NamedTuple):
    """How a subject stands. After `reset_s` seconds the oldest counted request no longer counts."""

    limit: Limit
    remaining: int
    reset_s: float


class Verdict(NamedTuple):
    """Whether a request may go on. It counts against all of its limits, or, when refused, against none."""

    standings: tuple[Standing, ...]
    refused: Standing | None = None

    @property
    def tightest(self) -> Standing:
        """The limit to tell a client about: the one that refused, else the one with the least left."""
        return self.refused or min(self.standings, key=_remaining)

    def raise_when_refused(self) -> None:
        """Raise AppError RESOURCE_EXHAUSTED RATE_LIMIT_EXCEEDED."""
        if self.refused is not None:
            raise refusal(self.refused)


_remaining: Final = attrgetter("remaining")


class Windows(Protocol):
    """Counts requests, exactly."""

    async def admit(self, limits: Sequence[Limit], *, counts: bool = True) -> Verdict:
        """Let a request in and count it, or refuse it. With `counts=False`, only look."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def judged(standings: tuple[Standing, ...]) -> Verdict:
    """Refuse for the limit with the longest wait. `remaining` is below zero in those that refuse."""
    if min(map(_remaining, standings)) >= 0:
        return Verdict(standings)
    refusing = [standing for standing in standings if standing.remaining < 0]
    shown = tuple(Standing(s.limit, max(0, s.remaining), s.reset_s) for s in standings)
    longest = max(refusing, key=lambda standing: standing.reset_s)
    return Verdict(shown, Standing(longest.limit, 0, longest.reset_s))


def refusal(standing: Standing) -> AppError:
    """Make the error of a refused request."""
    limit = standing.limit
    wait_s = max(0.001, math.ceil(standing.reset_s * 1000) / 1000)
    error = exhausted(
        REFUSED, f"At most {limit.per_minute} requests a minute {_WHOSE[limit.name]}.", retry_after_s=wait_s
    )
    error.metadata = {"limit": limit.name, "limit_per_minute": str(limit.per_minute)}
    return error


def headers_of(verdict: Verdict) -> dict[str, str]:
    """Tell a verdict in response headers.

    `X-RateLimit-*` speaks of the tightest limit; its Reset is unix time in seconds. `RateLimit-Policy` and
    `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) speak of each.
    """
    tightest = verdict.tightest
    policies, states = [], []
    for (name, _, per_minute), remaining, reset_s in verdict.standings:
        policies.append(f'"{name}";q={per_minute};w=60')
        states.append(f'"{name}";r={remaining};t={math.ceil(reset_s)}')
    return {
        "X-RateLimit-Limit": str(tightest.limit.per_minute),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + tightest.reset_s)),
        "RateLimit-Policy": ", ".join(policies),
        "RateLimit": ", ".join(states),
    }
