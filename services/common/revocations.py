"""What was revoked lately, followed from auth's stream, so that what we keep of a credential dies with it.

Only the life of a passport matters: what was revoked before that voids nothing which is still valid.
A cut stream is taken up again where it ended; until then a passport's own end bounds the harm.
"""

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.background import in_background
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.identity import PASSPORT_LEEWAY_S, PASSPORT_LIFE_S
from services.common.telemetry import get_logger

Watch = Callable[[str], AsyncIterator[auth_pb2.WatchRevocationsResponse]]
"""Streams revocations from a cursor on."""

RACE_S: Final = 2.0
"""A passport that was issued this shortly after a revocation may rest on what was read before it, or on a
clock that is not quite ours."""
REMEMBERED_S: Final = PASSPORT_LIFE_S + PASSPORT_LEEWAY_S + 2 * RACE_S
MAX_REMEMBERED: Final = 50_000
_FIRST_RETRY_S: Final = 0.1
_MAX_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Revocation:
    """Unix times: by auth's clock, and by ours when we heard of it."""

    at: float
    heard_at: float


class RevokedSubjects:
    """The subjects revoked within a passport's life, at most `MAX_REMEMBERED` of them.

    When there are more, everything issued before the newest of those forgotten counts as revoked:
    callers are checked anew, nobody slips through.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Revocation] = OrderedDict()
        self._all_until = float("-inf")
        self._listeners: list[Callable[[str, float], None]] = []
        self._watched: dict[object, tuple[frozenset[str], Callable[[], None]]] = {}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this after every revocation."""
        self._listeners.append(lambda _subject, _at: listener())

    def on_revoked(self, listener: Callable[[str, float], None]) -> None:
        """Tell this of every revocation: what was revoked, and when, in unix time by auth's clock."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def watched(self, roots: frozenset[str], lost: Callable[[], None]) -> Iterator[None]:
        """Call `lost` when one of these roots is revoked while the block runs."""
        mark = object()
        self._watched[mark] = roots, lost
        try:
            yield
        finally:
            del self._watched[mark]

    def add(self, subject: str, revoked_at: float) -> None:
        """Take note of a revocation at a unix time."""
        former = self._known.get(subject)
        latest = max(revoked_at, former.at) if former else revoked_at
        self._known[subject] = _Revocation(latest, time.time())
        self._known.move_to_end(subject)
        self._forget()
        for listener in self._listeners:
            listener(subject, revoked_at)
        for roots, lost in list(self._watched.values()):
            if subject in roots:
                lost()

    def voids(self, roots: Iterable[str], issued_at: float) -> bool:
        """Whether a right of these roots, given at that unix time, was taken back since."""
        issued_at -= RACE_S
        if issued_at <= self._all_until:
            return True
        return any((known := self._known.get(root)) and issued_at <= known.at for root in roots)

    def _forget(self) -> None:
        horizon = time.time() - REMEMBERED_S
        while self._known:
            subject, oldest = next(iter(self._known.items()))
            if oldest.heard_at >= horizon and len(self._known) <= MAX_REMEMBERED:
                return
            del self._known[subject]
            if oldest.heard_at >= horizon:
                self._all_until = max(self._all_until, oldest.at)


class RevocationFollower:
    """Keeps `RevokedSubjects` up to date, through restarts and outages of whoever tells."""

    def __init__(self, watch: Watch, revoked: RevokedSubjects) -> None:
        self._watch = watch
        self._revoked = revoked
        self._cursor = ""
        self.has_caught_up = asyncio.Event()
        """Set while the stream is open and all that was missed has been heard."""

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow until the block ends."""
        async with in_background(self._follow()):
            yield

    async def _follow(self) -> None:
        delay_s = _FIRST_RETRY_S
        while True:
            try:
                await self._hear()
                delay_s = _FIRST_RETRY_S
            except AppError as error:
                if error.reason == "CURSOR_INVALID":
                    self._cursor = ""
                get_logger().warning("revocation_stream_cut", reason=error.reason)
            except Exception:  # noqa: BLE001  whatever happens, we go on listening
                get_logger().exception("revocation_stream_broken")
            if self.has_caught_up.is_set():
                delay_s = _FIRST_RETRY_S
            self.has_caught_up.clear()
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter
            delay_s = min(2 * delay_s, _MAX_RETRY_S)

    async def _hear(self) -> None:
        async for told in self._watch(self._cursor):
            if told.subject:
                self._revoked.add(told.subject, told.revoke_time.ToMicroseconds() / 1e6)
            else:
                self.has_caught_up.set()
            self._cursor = told.cursor


def revocations_of(channel: Channel) -> Watch:
    """Hear of revocations from auth."""
    auth = auth_pb2_grpc.AuthServiceStub(channel)  # type: ignore[arg-type]

    def watch(cursor: str) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        return auth.WatchRevocations(auth_pb2.WatchRevocationsRequest(cursor=cursor))  # type: ignore[return-value]

    return watch


@contextlib.asynccontextmanager
async def following_revocations(channel: Channel, revoked: RevokedSubjects) -> AsyncIterator[None]:
    """Keep `revoked` up to date from auth while the block runs."""
    async with RevocationFollower(revocations_of(channel), revoked).following():
        yield
