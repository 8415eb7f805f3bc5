"""What an edge does with a credential: ask auth once, remember for a while, and no longer."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from services.common import passports
from services.common.context import Call, entered
from services.common.errors import AppError, Kind, unauthenticated, unavailable
from services.common.passports import Credential, PassportBroker
from tests.fakes.auth_channel import AuthChannel

KEY = Credential("api_key", "planted-secret")


class World:
    """A broker, the auth behind it, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.auth = AuthChannel(lambda: self.now)
        self.broker = PassportBroker(cast("Any", self.auth), clock=lambda: self.now)

    async def token(self, credential: Credential | None = KEY, audience: str = "mail_core") -> str:
        return (await self.broker.passport(credential, audience)).token

    async def refusal(self, credential: Credential | None = KEY) -> AppError:
        with pytest.raises(AppError) as caught:
            await self.token(credential)
        return caught.value


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with asyncio.timeout(5):
        yield World()


async def test_a_passport_is_used_again_while_it_lasts(world: World) -> None:
    """One question to auth for a minute of requests."""
    assert [await world.token() for _ in range(3)] == ["passport-1"] * 3
    assert len(world.auth.asked) == 1
    assert (world.auth.asked[0].api_key, world.auth.asked[0].audience) == ("planted-secret", "mail_core")


async def test_a_passport_is_renewed_before_it_ends(world: World) -> None:
    """Early enough that it does not end on its way."""
    await world.token()
    world.now += 54
    assert await world.token() == "passport-1"
    world.now += 2
    assert await world.token() == "passport-2"


async def test_credentials_kinds_and_audiences_are_kept_apart(world: World) -> None:
    """A bearer token that spells like a key is another credential."""
    tokens = [
        await world.token(KEY),
        await world.token(Credential("bearer", "planted-secret")),
        await world.token(Credential("api_key", "another")),
        await world.token(KEY, "auth"),
    ]
    assert tokens == [f"passport-{n}" for n in range(1, 5)]


async def test_many_first_uses_ask_once(world: World) -> None:
    """Single flight: a client that opens fifty connections costs one question."""
    world.auth.may_answer.clear()
    waiting = [asyncio.create_task(world.token()) for _ in range(50)]
    await world.auth.was_asked.wait()
    world.auth.may_answer.set()
    assert set(await asyncio.gather(*waiting)) == {"passport-1"}
    assert len(world.auth.asked) == 1


async def test_one_who_leaves_does_not_take_the_others_along(world: World) -> None:
    """Cancelling the request that came first leaves the question standing."""
    world.auth.may_answer.clear()
    first, second = asyncio.create_task(world.token()), asyncio.create_task(world.token())
    await world.auth.was_asked.wait()
    first.cancel()
    await asyncio.wait({first})
    world.auth.may_answer.set()
    assert await second == "passport-1"
    assert first.cancelled()
    assert len(world.auth.asked) == 1


async def test_a_failure_that_nobody_waits_for_is_no_complaint(world: World) -> None:
    """Everyone left, then auth failed: the next one asks again."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    world.auth.may_answer.clear()
    world.auth.failures = [unavailable("AUTH_DOWN", "No.")]
    only = asyncio.create_task(world.token())
    await world.auth.was_asked.wait()
    only.cancel()
    await asyncio.wait({only})
    (asking,) = world.broker._asking.values()
    world.auth.may_answer.set()
    await asyncio.wait({asking})
    del asking, only  # a cancelled task keeps what it waited for
    gc.collect()
    assert complaints == []
    assert await world.token() == "passport-2"


async def test_the_first_ones_deadline_is_not_the_others(world: World) -> None:
    """It runs out for the one who brought it; who joined still gets an answer."""
    world.auth.may_answer.clear()

    async def hurried() -> str:
        with entered(Call(request_id="r", deadline=time.monotonic() + 0.01)):
            return await world.token()

    first = asyncio.create_task(hurried())
    await world.auth.was_asked.wait()
    second = asyncio.create_task(world.token())
    with pytest.raises(AppError) as caught:
        await first
    world.auth.may_answer.set()
    assert caught.value.kind is Kind.DEADLINE_EXCEEDED
    assert await second == "passport-1"


async def test_a_refused_credential_is_not_asked_about_again_at_once(world: World) -> None:
    """Hammering with a bad key does not reach auth; a second later it does."""
    world.auth.failures = [unauthenticated("CREDENTIAL_INVALID", "No.")] * 2
    assert [(await world.refusal()).reason for _ in range(10)] == ["CREDENTIAL_INVALID"] * 10
    assert len(world.auth.asked) == 1
    world.now += 1.5
    await world.refusal()
    assert len(world.auth.asked) == 2


async def test_a_key_that_was_refused_gets_in_once_it_is_made(world: World) -> None:
    """A refusal is remembered for a moment, not for good."""
    world.auth.failures = [unauthenticated("CREDENTIAL_INVALID", "No.")]
    await world.refusal()
    world.now += 1.5
    assert await world.token() == "passport-2"


async def test_auth_being_down_is_not_remembered(world: World) -> None:
    """The moment it is back, so are we; and a passport that lasts carries over an outage."""
    world.auth.failures = [unavailable("AUTH_DOWN", "No.")]
    assert (await world.refusal()).reason == "AUTH_DOWN"
    assert await world.token() == "passport-2"
    world.auth.failures = [unavailable("AUTH_DOWN", "No.")]
    assert await world.token() == "passport-2"


async def test_without_a_credential_nobody_is_asked(world: World) -> None:
    """CREDENTIAL_MISSING, from the edge itself."""
    assert (await world.refusal(None)).reason == "CREDENTIAL_MISSING"
    assert world.auth.asked == []


async def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand invented keys do not fill the process; the oldest goes first."""
    monkeypatch.setattr(passports, "_MAX_CACHED", 3)
    for number in range(5):
        await world.token(Credential("api_key", str(number)))
    assert await world.token(Credential("api_key", "4")) == "passport-5"
    assert await world.token(Credential("api_key", "0")) == "passport-6"
    assert len(world.broker._held) == 3
    for number in range(5):
        world.auth.failures = [unauthenticated("CREDENTIAL_INVALID", "No.")]
        await world.refusal(Credential("api_key", f"bad {number}"))
    assert len(world.broker._refused) == 3
    assert world.broker._asking == {}


@pytest.mark.promise("secrets.shown")
async def test_neither_credential_nor_passport_is_shown(world: World) -> None:
    """What ends up in a log by accident says who, and not how to be them."""
    held = await world.broker.passport(Credential("api_key", "planted-secret"), "mail_core")
    assert "planted-secret" not in repr(Credential("api_key", "planted-secret"))
    assert held.token not in repr(held)
    assert "planted-secret" not in repr(world.broker._held)
