"""A stream of revocations that is cut misses nothing when it is back; until then passports just end."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from protos.auth.v1 import auth_pb2
from services.common.errors import AppError, unauthenticated, unavailable
from services.common.identity import PASSPORT_LIFE_S
from services.common.passports import Credential, PassportBroker
from services.common.revocations import RevocationFollower, RevokedSubjects
from tests.fakes.auth_channel import AuthChannel

KEY = Credential("api_key", "planted-secret")


class CutLog:
    """Auth's log, told to one follower at a time; the line is cut after so many answers, again and again."""

    def __init__(self, cut_after: int) -> None:
        self.subjects: list[str] = []
        self.grown = asyncio.Event()
        self.asked: list[str] = []
        self._cut_after = cut_after

    def revoke(self, subject: str) -> None:
        self.subjects.append(subject)
        self.grown.set()

    async def watch(self, cursor: str) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        self.asked.append(cursor)
        place, left = int(cursor or 0), self._cut_after
        while True:
            self.grown.clear()
            for number in range(place, len(self.subjects)):
                if not left:
                    raise unavailable("AUTH_DOWN", "Auth does not answer.")
                left, place = left - 1, number + 1
                told = auth_pb2.WatchRevocationsResponse(subject=self.subjects[number], cursor=str(place))
                told.revoke_time.FromMicroseconds(int(time.time() * 1e6))
                yield told
            yield auth_pb2.WatchRevocationsResponse(cursor=str(place))
            await self.grown.wait()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.mark.promise("revocation.second")
@pytest.mark.parametrize("cut_after", [2, 3, 7])
async def test_a_stream_that_is_cut_again_and_again_misses_nothing(cut_after: int) -> None:
    """Wherever it is cut; what is revoked while it is away is heard when it is back, each thing in order."""
    log, revoked = CutLog(cut_after), RevokedSubjects()
    before = time.time()
    for number in range(5):
        log.revoke(f"key:{number}")
    async with RevocationFollower(log.watch, revoked).following():
        for number in range(5, 12):
            log.revoke(f"grant:{number}")
            await asyncio.sleep(0)
        await eventually(lambda: all(revoked.voids([subject], before) for subject in log.subjects))
    assert len(log.asked) >= 12 // cut_after
    # It went on where it was each time: nothing was asked for twice.
    places = [int(cursor or 0) for cursor in log.asked]
    assert places == sorted(places)
    assert all(later - earlier <= cut_after for earlier, later in itertools.pairwise(places))


class SilentChannel(AuthChannel):
    """Auth issues passports, but nobody can follow its log."""

    def unary_stream(self, path: str, *_: Any, **__: Any) -> Callable[[Any], Any]:
        del path
        return self._cut

    async def _cut(self, request: auth_pb2.WatchRevocationsRequest) -> AsyncIterator[Any]:
        del request
        raise unavailable("AUTH_DOWN", "Auth does not answer.")
        yield  # a stream, which ends before it begins


async def test_while_the_stream_is_cut_a_revoked_credential_ends_with_its_passport() -> None:
    """At most a passport's life after it was revoked, by a clock that the test moves."""
    now = 1_000_000.0
    auth = SilentChannel(lambda: now)
    broker = PassportBroker(cast("Any", auth), clock=lambda: now)
    async with broker.following():
        await broker.passport(KEY, "mail_core")
        revoked_at = now
        auth.failures = [unauthenticated("KEY_REVOKED", "The API key was revoked.")]
        outcomes = []
        for second in range(1, int(PASSPORT_LIFE_S) + 1):
            now = revoked_at + second
            try:
                await broker.passport(KEY, "mail_core")
            except AppError as error:
                outcomes.append((second, error.reason))
                break
    assert outcomes
    assert outcomes[0][0] <= PASSPORT_LIFE_S
    assert outcomes[0][1] == "KEY_REVOKED"
    assert len(auth.asked) == 2
