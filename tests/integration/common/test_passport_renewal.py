"""A passport that a backend no longer believes is let go of, and the call is made once more with another."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protos.mail.v1 import mail_pb2
from services.common.context import Call, entered
from services.common.errors import AppError, invalid
from tests.integration.common.test_rpc import World, passport

DROPPED = Ed25519PrivateKey.generate()


class Holder:
    """An edge's memory of one credential's passports, the oldest first."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.refused: list[tuple[str, str]] = []

    async def source(self, _: str) -> str:
        return self.tokens[0]

    def forget(self, audience: str, token: str) -> None:
        self.refused.append((audience, token))
        self.tokens.remove(token)

    @property
    def call(self) -> Call:
        return Call(
            request_id="r",
            deadline=time.monotonic() + 10,
            passport_for=self.source,
            on_passport_refused=self.forget,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with made.serving():
        yield made


async def test_a_call_with_a_dropped_keys_passport_is_answered_all_the_same(world: World) -> None:
    """The handler ran once; the holder was told which passport it was."""
    stale = passport(key=DROPPED)
    holder = Holder(stale, passport())
    async with world.stub() as stub:
        with entered(holder.call):
            await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    assert (world.handler.calls, holder.refused) == (1, [("mail_core", stale)])


async def test_a_stream_is_begun_again_only_when_nothing_has_come(world: World) -> None:
    """Refused at its beginning, it begins once more; broken off later, it is broken off."""
    request = mail_pb2.WatchOperationRequest(id="1")
    async with world.stub() as stub:
        holder = Holder(passport(key=DROPPED), passport())
        with entered(holder.call):
            assert [answer.id async for answer in stub.WatchOperation(request)] == ["0", "1", "2"]  # type: ignore[union-attr]
        world.handler.failures.append(invalid("PASSPORT_INVALID", "as if"))
        holder, seen = Holder(passport()), []
        with entered(holder.call), pytest.raises(AppError):
            async for answer in stub.WatchOperation(request):  # type: ignore[union-attr]
                seen.append(answer.id)
    assert (seen, holder.refused) == (["0", "1", "2"], [])


async def test_a_second_refusal_is_the_answer(world: World) -> None:
    """Nobody goes on asking for passports."""
    holder = Holder(passport(key=DROPPED), passport(key=DROPPED), passport())
    async with world.stub() as stub:
        with entered(holder.call), pytest.raises(AppError) as caught:
            await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    assert caught.value.reason == "PASSPORT_INVALID"
    assert (world.handler.calls, len(holder.refused)) == (0, 1)
