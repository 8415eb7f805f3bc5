"""What happens to mail is recorded with it, without a word of it, and reaches auth once and in order."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import sqlalchemy as sa

from protos.auth.v1 import auth_pb2
from services.common.audit import DENIED, AuditEvent, audit_event, problem_of_event
from services.common.audit_proto import team_event_from_proto
from services.common.database import TEAM_SETTING, Database
from services.common.errors import AppError, invalid, unavailable
from services.mail_core.adapters.audit_outbox import RELAY_SETTING, AuditRelay, Outbox
from services.mail_core.domain.ids import TeamId
from services.mail_core.operations.follow_operation import FollowOperation
from tests.integration.mail_core.operations.world import World, letter
from tests.postgres import Databases


@dataclass
class FakeAuth:
    """Keeps what is sent, each event once, as auth does. `fault` is raised instead when it is set."""

    events: list[AuditEvent] = field(default_factory=list)
    fault: AppError | None = None
    dies_after: bool = False
    poison: str = ""

    async def append(self, request: auth_pb2.AppendEventsRequest) -> auth_pb2.AppendEventsResponse:
        if self.fault is not None:
            raise self.fault
        events = [team_event_from_proto(each) for each in request.events]
        if any(event.id == self.poison for event in events):
            raise invalid("EVENT_INVALID", "no")
        known = {event.id for event in self.events}
        fresh = [event for event in events if event.id not in known]
        self.events += fresh
        if self.dies_after:
            raise unavailable("AUTH_DOWN", "the answer was lost")
        return auth_pb2.AppendEventsResponse(appended_count=len(fresh))


async def outbox(world: World) -> list[AuditEvent]:
    """What the team's events in the outbox say, oldest first."""
    async with world.database.team(world.team_id) as connection:
        rows = await connection.execute(sa.text("SELECT event FROM audit_outbox ORDER BY position"))
        return [team_event_from_proto(auth_pb2.TeamEvent.FromString(bytes(row.event))) for row in rows]


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[None]:
    """Take away what other tests left for the relay."""
    database = Database(databases.mail.app_url, pool_size=1)
    async with database.transaction({RELAY_SETTING: "on"}) as connection:
        await connection.execute(sa.text("DELETE FROM audit_outbox"))
    yield
    await database.close()


def deliver(world: World) -> None:
    world.gmail.deliver(*letter("weekly.example").items(), labels=("INBOX", "CATEGORY_PROMOTIONS"))


async def test_each_step_of_the_work_leaves_its_event(world: World) -> None:
    """From import over scan to the unsubscribe and its outcome, in the order in which it happened."""
    deliver(world)
    await world.scan()
    await world.unsubscribe("weekly.example")
    events = await outbox(world)
    assert [event.action for event in events] == [
        "mailbox.imported",
        "scan.requested",
        "labels.changing",
        "labels.changed",
        "mailbox.scanned",
        "unsubscribe.requested",
        "subscription.attempted",
        "subscription.unsubscribed",
        "unsubscribe.finished",
    ]
    assert {event.team_id for event in events} == {world.team_id}
    assert {event.actor for event in events[1:]} == {"key:1"}
    assert {event.edge for event in events[1:]} == {"edge_rest"}
    assert all(problem_of_event(event) == "" for event in events)


async def test_no_word_of_the_mail_is_in_any_event(world: World) -> None:
    """Addresses, subjects, senders' links and tokens that pass through leave no trace in the log."""
    planted = ["owner@example.com", "News", "news.example", "https://", "weekly", "refresh-1", "Subject"]
    deliver(world)
    await world.scan()
    await world.unsubscribe("weekly.example")
    text = repr(await outbox(world))
    assert not [word for word in planted if re.search(rf"\b{re.escape(word)}", text)]


async def test_a_repeated_request_is_recorded_once(world: World) -> None:
    """The same request id asks for the same work: nothing happened the second time."""
    for _ in range(2):
        await world.ask.scan(world.call(), "me", "same", dry_run=True, max_messages=0)
    assert [event.action for event in await outbox(world)] == ["mailbox.imported", "scan.requested"]


async def test_a_cancel_is_recorded_once(world: World) -> None:
    """Asking again changes nothing, and says nothing."""
    operation = await world.ask.scan(world.call(), "me", "", dry_run=True, max_messages=0)
    follow = FollowOperation(world.store, world.targets, None)  # type: ignore[arg-type]
    for _ in range(2):
        await follow.cancel(world.call(), operation.id)
    actions = [event.action for event in await outbox(world)]
    assert actions.count("operation.cancel_requested") == 1


async def test_what_is_rolled_back_was_not_recorded(world: World) -> None:
    """The event lives and dies with its transaction."""
    before = await outbox(world)
    with pytest.raises(ZeroDivisionError):
        async with world.store.team(world.team_id) as records:
            records.audit.note(audit_event("mailbox.scanned", team_id=world.team_id))
            raise ZeroDivisionError
    assert await outbox(world) == before


async def test_the_relay_outlives_auth(empty: None, world: World) -> None:
    """While auth is down nothing is lost; then everything arrives, in order, once."""
    auth = FakeAuth(fault=unavailable("AUTH_DOWN", "down"))
    relay = AuditRelay(world.database, auth.append)
    await world.scan(dry_run=True)
    waiting = await outbox(world)
    with pytest.raises(AppError, match="AUTH_DOWN"):
        await relay.relay_batch()
    assert await outbox(world) == waiting
    auth.fault = None
    await relay.relay_batch()
    assert await outbox(world) == []
    assert [event for event in auth.events if event.team_id == world.team_id] == waiting


async def test_an_answer_that_was_lost_makes_no_duplicate(empty: None, world: World) -> None:
    """As after a kill between auth's commit and ours: sent again, known again."""
    auth = FakeAuth(dies_after=True)
    relay = AuditRelay(world.database, auth.append)
    await world.scan(dry_run=True)
    waiting = await outbox(world)
    with pytest.raises(AppError):
        await relay.relay_batch()
    auth.dies_after = False
    await relay.relay_batch()
    assert auth.events == waiting
    assert await outbox(world) == []


async def test_an_event_that_auth_will_not_take_holds_up_no_other(empty: None, world: World) -> None:
    """It is set aside for an operator; the rest goes on in order."""
    await world.scan(dry_run=True)
    waiting = await outbox(world)
    auth = FakeAuth(poison=waiting[1].id)
    await AuditRelay(world.database, auth.append).relay_batch()
    assert auth.events == [waiting[0], *waiting[2:]]
    assert await outbox(world) == [waiting[1]]
    await AuditRelay(world.database, auth.append).relay_batch()
    assert len(auth.events) == len(waiting) - 1


async def test_one_relay_at_a_time(empty: None, world: World) -> None:
    """A second replica waits, so that order holds."""
    started, release = asyncio.Event(), asyncio.Event()
    auth = FakeAuth()

    async def slowly(request: auth_pb2.AppendEventsRequest) -> auth_pb2.AppendEventsResponse:
        started.set()
        await release.wait()
        return await auth.append(request)

    first = asyncio.create_task(AuditRelay(world.database, slowly).relay_batch())
    async with asyncio.timeout(10):
        await started.wait()
        assert not await AuditRelay(world.database, auth.append).relay_batch()
        assert auth.events == []
        release.set()
        await first
    assert [event.action for event in auth.events] == ["mailbox.imported"]


async def test_events_of_one_team_keep_the_order_of_commits(empty: None, world: World) -> None:
    """Whoever commits first is told first, however the transactions overlapped."""
    box = Outbox(world.database)
    await asyncio.gather(*(box.write([_denial(world, number)]) for number in range(30)))
    first = await outbox(world)
    auth = FakeAuth()
    await AuditRelay(world.database, auth.append).relay_batch()
    assert auth.events == first
    assert len(first) == 31


async def test_the_outbox_of_one_team_is_hidden_from_another(world: World) -> None:
    """Only the relay sees all of it."""
    async with world.database.team(TeamId("7f3d1e52-7b58-4c57-9b56-0a4b4c8f2f11")) as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM audit_outbox"))).scalar_one() == 0
    async with world.database.transaction({TEAM_SETTING: ""}) as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM audit_outbox"))).scalar_one() == 0


def _denial(world: World, number: int, **changes: Any) -> AuditEvent:
    event = audit_event(
        "access.denied", outcome=DENIED, reason="SCOPE_MISSING", team_id=world.team_id, count=number
    )
    return replace(event, **changes)
