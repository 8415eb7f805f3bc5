"""What an edge counts: requests of a credential and of its team, and what comes without a good credential.

Whoever has shown a good credential here is never held up by what others do from the same address.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from opentelemetry import metrics

from services.common.errors import AppError, exhausted
from services.common.identity import Caller
from services.common.limits import Limit, Verdict, Windows
from services.common.limits_memory import MemoryWindows
from services.common.limits_shared import SharedWindows
from services.common.settings import LimitSettings

STREAMS_REFUSED: Final = "TOO_MANY_STREAMS"
_STREAM_RETRY_S: Final = 5.0

# For a caller whose auth service does not say: the plan of who runs their own.
_PER_MINUTE: Final = 600
_TEAM_PER_MINUTE: Final = 3_000

OnRefused = Callable[[Caller | None, Limit], None]
"""Told of a subject that ran into a limit: at once, then at most once a minute. Nobody knows the caller of
the limits by address; the limit's `subject` holds the address then. It must not wait."""

_refusals: Final = metrics.get_meter("mailwarden").create_counter(
    "mailwarden_limiter_refused_total", description="Requests refused by a rate limit, by kind of limit."
)


def _tell_nobody(_caller: Caller | None, _limit: Limit) -> None:
    """What is refused shows in metrics and logs."""


def windows_of(settings: LimitSettings) -> Windows:
    """Count together with other replicas when there is a server for it, else alone."""
    return SharedWindows(settings.redis_url) if settings.redis_url else MemoryWindows()


class EdgeLimiter:
    """The limits of one edge."""

    def __init__(
        self, windows: Windows, settings: LimitSettings, on_refused: OnRefused = _tell_nobody
    ) -> None:
        self._windows = windows
        self._settings = settings
        self._on_refused = on_refused
        self._told = MemoryWindows()
        self._streams: Counter[str] = Counter()

    async def close(self) -> None:
        """Let go of connections."""
        await self._windows.close()

    async def count(self, caller: Caller) -> Verdict:
        """Count a request of a caller."""
        return await self._judged(caller, self._limits_of(caller))

    async def count_address(self, site: str) -> Verdict:
        """Count a request that needs no credential."""
        limit = Limit("address", f"address:{site}", self._settings.rate_limit_address_per_minute)
        return await self._judged(None, (limit,))

    async def count_failure(self, site: str) -> Verdict:
        """Count a credential that was refused."""
        return await self._judged(None, (self._failures(site),))

    async def check_failures(self, site: str) -> Verdict:
        """Look whether an address may try yet another credential."""
        return await self._judged(None, (self._failures(site),), counts=False)

    def open_stream(self, caller: Caller) -> Callable[[], None]:
        """Count a stream as open; returns what ends it.

        Raises AppError RESOURCE_EXHAUSTED TOO_MANY_STREAMS.
        """
        subject, bound = _subject_of(caller), self._settings.max_streams_per_credential
        if self._streams[subject] >= bound:
            self._report(caller, Limit("streams", subject, bound))
            raise _too_many_streams(bound)
        self._streams[subject] += 1
        return lambda: self._close_stream(subject)

    def _close_stream(self, subject: str) -> None:
        self._streams[subject] -= 1
        if not self._streams[subject]:
            del self._streams[subject]

    async def _judged(
        self, caller: Caller | None, limits: tuple[Limit, ...], *, counts: bool = True
    ) -> Verdict:
        verdict = await self._windows.admit(limits, counts=counts)
        if verdict.refused is not None:
            self._report(caller, verdict.refused.limit)
        return verdict

    def _report(self, caller: Caller | None, limit: Limit) -> None:
        _refusals.add(1, {"limit": limit.name})
        once = Limit("told", f"{limit.name}:{limit.subject}", 1)
        if self._told.admit_now((once,)).refused is None:
            self._on_refused(caller, limit)

    def _limits_of(self, caller: Caller) -> tuple[Limit, Limit]:
        settings, plan = self._settings, caller.limits
        key = settings.rate_limit_per_minute or plan.requests_per_minute or _PER_MINUTE
        team = settings.rate_limit_team_per_minute or max(
            key, plan.team_requests_per_minute or _TEAM_PER_MINUTE
        )
        return (
            Limit("key", _subject_of(caller), key),
            Limit("team", f"{{{caller.team_id}}}", team),
        )

    def _failures(self, site: str) -> Limit:
        return Limit("failures", f"failures:{site}", self._settings.rate_limit_failures_per_minute)


def _subject_of(caller: Caller) -> str:
    # In braces what decides where a Redis cluster keeps it: a key's and its team's requests in one place.
    return f"{{{caller.team_id}}}:{caller.principal}"


def _too_many_streams(bound: int) -> AppError:
    return exhausted(
        STREAMS_REFUSED,
        f"At most {bound} streams of one credential are open at a time. End one first.",
        retry_after_s=_STREAM_RETRY_S,
    )
