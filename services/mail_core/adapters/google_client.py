"""Sends Google's requests for one account: paced, authorised, repeated where that is safe, traced."""

import contextlib
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import aiohttp
import yarl
from opentelemetry.trace import Span, SpanKind

from services.common.context import current_call
from services.common.telemetry import span
from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.clock import Clock, sleep
from services.mail_core.adapters.google_errors import GoogleRefusedError, Handling, no_answer, refusal
from services.mail_core.adapters.google_oauth import AccessTokens
from services.mail_core.adapters.google_services import WireRequest, decode, to_wire
from services.mail_core.adapters.quota import QuotaLedger
from services.mail_core.ports import Priority

_ANY_TIME: Final = contextlib.nullcontext()
_SUCCESS: Final = range(200, 300)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """What all accounts of a process share: connections, clock, and patience.

    `fresh_http` keeps no connections: one that went stale would leave a send in doubt.
    """

    http: aiohttp.ClientSession
    fresh_http: aiohttp.ClientSession
    clock: Clock
    backoff: Backoff = field(default_factory=Backoff)
    try_s: float = 30.0
    background_s: float = 900.0

    async def exchange(
        self, wire: WireRequest, api: str, token: str, timeout_s: float, *, is_repeatable: bool
    ) -> Answer:
        """Send once. Raises GoogleRefusedError when no answer came."""
        http = self.http if is_repeatable else self.fresh_http
        try:
            async with http.request(
                wire.method,
                yarl.URL(wire.uri, encoded=True),
                headers={**wire.headers, "authorization": f"Bearer {token}"},
                data=wire.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise no_answer(api, was_sent=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise no_answer(api) from error


@dataclass(slots=True)
class GoogleClient:
    """Calls one of Google's APIs for one account. `ledger` is None where no quota is known."""

    api: str
    wire: Wire
    tokens: AccessTokens
    ledger: QuotaLedger | None
    priority: Priority = Priority.INTERACTIVE
    units_spent: int = 0

    async def call(self, request: Any, units: int = 0, *, is_repeatable: bool = True) -> Any:
        """Send a request of Google's client and decode its answer.

        A request that is not repeatable is tried again only when Google surely did not act on it.
        Raises GoogleRefusedError, and RESOURCE_EXHAUSTED GMAIL_QUOTA when the units do not come in time.
        """

        def read(answer: Answer) -> Any:
            try:
                return decode(request, answer.status, answer.content)
            except ValueError as error:
                raise no_answer(self.api) from error

        return await self.send(request.methodId, to_wire(request), units, read, is_repeatable=is_repeatable)

    async def send(
        self,
        name: str,
        wire: WireRequest,
        units: int,
        read: Callable[[Answer], T],
        *,
        is_repeatable: bool = True,
        turn: AbstractAsyncContextManager[Any] = _ANY_TIME,
    ) -> T:
        """Send a request and read its successful answer; `read` may raise too. Errors as in `call`.

        `turn` is held while the request is under way, and not while it waits for its units: somebody
        with a better priority may come first.
        """

        async def once() -> T:
            async with turn:
                return read(await self._exchange(wire, is_repeatable))

        with span(f"google.{name}", SpanKind.CLIENT, **{"google.units": units}) as recording:
            return await self._until_answered(once, units, is_repeatable, recording)

    async def _until_answered(
        self, once: Callable[[], Awaitable[T]], units: int, is_repeatable: bool, recording: Span
    ) -> T:
        has_refreshed = False
        for failures in itertools.count(1):
            recording.set_attribute("google.attempts", failures)
            await self._pace(units)
            try:
                return await once()
            except GoogleRefusedError as refused:
                recording.set_attribute("http.response.status_code", refused.status)
                if refused.handling is Handling.REFRESH and not has_refreshed:
                    has_refreshed = True
                    continue
                wait_s = self._wait_s(refused, failures, is_repeatable)
            await sleep(self.wire.clock, wait_s)
        raise AssertionError("unreachable")

    def _wait_s(self, refused: GoogleRefusedError, failures: int, is_repeatable: bool) -> float:
        """Say how long to wait before the next try, or raise the refusal when there is to be none."""
        wait_s = max(self.wire.backoff.delay_s(failures), refused.told_to_wait_s or 0.0)
        if refused.is_quota and self.ledger is not None:
            self.ledger.pause(wait_s)
        is_safe = is_repeatable or refused.did_nothing
        if refused.handling is not Handling.RETRY or not is_safe or self.wire.backoff.is_last(failures):
            raise refused
        if wait_s >= self._time_left_s():
            raise refused
        return wait_s

    async def _pace(self, units: int) -> None:
        if self.ledger is not None and units:
            await self.ledger.acquire(units, self.priority, self._time_left_s())
        self.units_spent += units

    async def _exchange(self, wire: WireRequest, is_repeatable: bool) -> Answer:
        token = await self.tokens.current()
        timeout_s = min(self.wire.try_s, self._time_left_s())
        answer = await self.wire.exchange(wire, self.api, token, timeout_s, is_repeatable=is_repeatable)
        if answer.status in _SUCCESS:
            return answer
        refused = refusal(self.api, answer.status, answer.headers, answer.content, datetime.now(UTC))
        if refused.handling is Handling.REFRESH:
            self.tokens.forget(token)
        raise refused

    def _time_left_s(self) -> float:
        call = current_call()
        left_s = call.time_left_s() if call else None
        return self.wire.background_s if left_s is None else max(left_s, 0.001)
