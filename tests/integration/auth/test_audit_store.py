"""The audit log on a real PostgreSQL: gapless, append-only, one team's own, verifiable for ever."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.auth.adapters.audit_postgres import PostgresAudit
from services.auth.audit_ports import AuditQuery
from services.auth.operations.audit_log import ReadAudit, Verdict, VerifyAudit
from services.auth.operations.audit_upkeep import Retention
from services.common.audit import SYSTEM_TEAM_ID, AuditEvent
from services.common.audit_notes import RefusalNotes
from services.common.database import TEAM_SETTING, Database
from services.common.errors import AppError
from tests.postgres import Databases

NOW = datetime.now(UTC)
SWAP = "swap"
ADD = """
    INSERT INTO audit_events (team_id, sequence, id, event_time, action, resource, actor, credential, edge,
                              request_id, outcome, reason, facts, hash)
    SELECT team_id, 7, gen_random_uuid(), event_time, action, resource, actor, credential, edge, request_id,
           outcome, reason, facts, hash
    FROM audit_events WHERE team_id = %(team)s AND sequence = 1
"""
SHIFT = "UPDATE audit_events SET event_time = event_time + interval '1 us'"
SHIFT_A_MICROSECOND = SHIFT + " WHERE team_id = %(team)s AND sequence = 5"


@dataclass
class World:
    """One fresh team's log, and the owner's hand that can tamper with it."""

    database: Database
    owner: psycopg.AsyncConnection[Any]
    team_id: str = field(default_factory=lambda: str(uuid4()))

    def __post_init__(self) -> None:
        self.log = PostgresAudit(self.database)
        self.verify = VerifyAudit(self.log)

    def event(self, **changes: Any) -> AuditEvent:
        event = AuditEvent(
            action="key.created",
            team_id=self.team_id,
            resource=f"key:{uuid4()}",
            actor="operator",
            edge="cli",
            request_id="r-1",
            facts={"kind": "api_key", "scopes": "mail:scan unsubscribe:read"},
        )
        return replace(event, **changes)

    async def append(self, count: int, **changes: Any) -> list[AuditEvent]:
        events = [self.event(**changes) for _ in range(count)]
        assert await self.log.append(events) == count
        return events

    async def rows(self) -> list[AuditEvent]:
        return [row.event async for row in self.log.oldest_first(self.team_id, AuditQuery())]

    async def tamper(self, statement: str, **values: Any) -> None:
        async with self.owner.cursor() as cursor:
            await cursor.execute("SELECT set_config('mailwarden.team_id', %s, false)", (self.team_id,))
            await cursor.execute("ALTER TABLE audit_events DISABLE TRIGGER ALL")
            await cursor.execute(statement.encode(), {"team": self.team_id, **values})
            await cursor.execute("ALTER TABLE audit_events ENABLE TRIGGER ALL")

    async def verdict(self) -> Verdict:
        [verdict] = [each async for each in self.verify(self.team_id)]
        assert isinstance(verdict, Verdict)
        return verdict

    async def found(self) -> tuple[int, str] | None:
        broken = (await self.verdict()).broken
        return (broken.sequence, broken.problem.value) if broken else None


@pytest.fixture
async def world(databases: Databases) -> AsyncIterator[World]:
    database = Database(databases.auth.app_url, pool_size=5)
    url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        world = World(database, owner)
        yield world
        await owner.execute("DELETE FROM audit_events WHERE team_id = %s", (world.team_id,))
        await owner.execute("DELETE FROM audit_heads WHERE team_id = %s", (world.team_id,))
    await database.close()


async def test_an_event_comes_back_as_it_went_in(world: World) -> None:
    """Every field, to the microsecond, and in its place."""
    events = await world.append(3)
    assert await world.rows() == events
    assert (await world.verdict()).count == 3


async def test_an_event_that_is_known_changes_nothing(world: World) -> None:
    """Relays may send again (at least once): ids tell."""
    events = await world.append(2)
    again = [events[1], world.event(), events[0]]
    assert await world.log.append(again) == 1
    assert await world.log.append([again[1], again[1]]) == 0
    assert [event.id for event in await world.rows()] == [events[0].id, events[1].id, again[1].id]


async def test_fifty_at_once_make_a_chain_without_gaps(world: World) -> None:
    """Appends of one team wait for each other, whichever replica they come from."""
    other = Database(world.database._engine.url.render_as_string(hide_password=False).replace("+psycopg", ""))
    second = PostgresAudit(other)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number in range(50):
            log = world.log if number % 2 else second
            group.create_task(log.append([world.event()]))
    await other.close()
    verdict = await world.verdict()
    assert (verdict.count, verdict.broken) == (50, None)
    _, head = await world.log.ends(world.team_id)
    assert head.sequence == 50


async def test_an_event_lives_and_dies_with_what_it_records(world: World) -> None:
    """The event is in the transaction of the change: neither exists without the other."""
    with pytest.raises(ZeroDivisionError):
        async with world.database.team(world.team_id) as connection:
            await world.log.record(connection, world.event())
            raise ZeroDivisionError
    assert await world.rows() == []
    async with world.database.team(str(uuid4())) as connection:
        assert await world.log.record(connection, world.event()) == 1
    assert len(await world.rows()) == 1
    assert await world.found() is None


async def test_recording_leaves_the_transaction_as_it_was(world: World) -> None:
    """A transaction of another team may record, and goes on as that team's."""
    mine = str(uuid4())
    async with world.database.team(mine) as connection:
        await world.log.record(connection, world.event())
        setting = await connection.execute(sa.text(f"SELECT current_setting('{TEAM_SETTING}')"))
        assert setting.scalar_one() == mine


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        (
            "UPDATE audit_events SET actor = 'nobody' WHERE team_id = %(team)s AND sequence = 3",
            (3, "CHANGED"),
        ),
        ("UPDATE audit_events SET facts = '{}' WHERE team_id = %(team)s AND sequence = 1", (1, "CHANGED")),
        (SHIFT_A_MICROSECOND, (5, "CHANGED")),
        (
            "UPDATE audit_events SET hash = sha256('') WHERE team_id = %(team)s AND sequence = 5",
            (5, "CHANGED"),
        ),
        ("DELETE FROM audit_events WHERE team_id = %(team)s AND sequence = 2", (2, "MISSING")),
        ("DELETE FROM audit_events WHERE team_id = %(team)s AND sequence = 1", (1, "MISSING")),
        ("DELETE FROM audit_events WHERE team_id = %(team)s AND sequence >= 4", (4, "MISSING")),
        ("DELETE FROM audit_events WHERE team_id = %(team)s", (1, "MISSING")),
        (SWAP, (2, "REORDERED")),
        (ADD, (7, "ADDED")),
        ("UPDATE audit_heads SET sequence = 4 WHERE team_id = %(team)s", (4, "CHANGED")),
    ],
)
async def test_a_tampered_row_is_named(world: World, statement: str, place: tuple[int, str]) -> None:
    """Changed, removed, reordered, cut off, put behind the end: by the very owner of the table."""
    await world.append(5)
    await (_swap(world) if statement == SWAP else world.tamper(statement))
    assert await world.found() == place


async def _swap(world: World) -> None:
    for before, after in ((2, 1_000), (3, 2), (1_000, 3)):
        await world.tamper(
            "UPDATE audit_events SET sequence = %(after)s WHERE team_id = %(team)s AND sequence = %(before)s",
            before=before,
            after=after,
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'nobody'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "UPDATE audit_heads SET sequence = 0",
        "DELETE FROM audit_heads",
        "INSERT INTO audit_heads (team_id) VALUES (gen_random_uuid())",
    ],
)
async def test_the_serving_role_cannot_rewrite_history(world: World, statement: str) -> None:
    """Not by a mistake, not with stolen credentials of the service."""
    await world.append(1)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with world.database.team(world.team_id) as connection:
            await connection.execute(sa.text(statement))


async def test_an_event_out_of_its_place_is_not_let_in(world: World) -> None:
    """The database itself keeps sequences without gaps."""
    await world.append(1)
    with pytest.raises(DBAPIError, match="not the next of its chain"):
        async with world.database.team(world.team_id) as connection:
            await connection.execute(
                sa.text(
                    "INSERT INTO audit_events SELECT team_id, 7, gen_random_uuid(), event_time, action,"
                    " resource, actor, credential, edge, request_id, outcome, reason, facts, hash"
                    " FROM audit_events"
                )
            )


async def test_a_team_sees_its_own_log_only(world: World) -> None:
    """Also through a query that forgets to filter, and a head that is not its own."""
    await world.append(2)
    other = str(uuid4())
    assert await world.log.page(other, AuditQuery(), 10, None) == []
    async with world.database.team(other) as connection:
        for table in ("audit_events", "audit_heads"):
            assert (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0
    with pytest.raises(DBAPIError, match="another team"):
        async with world.database.team(other) as connection:
            await connection.execute(sa.text("SELECT audit_open(:team)"), {"team": world.team_id})


@pytest.mark.parametrize(
    "query", [AuditQuery(action="a\0*"), AuditQuery(actor="\0"), AuditQuery(outcome="\n")]
)
async def test_what_no_event_can_hold_matches_none(world: World, query: AuditQuery) -> None:
    """A NUL in a filter is no failure of the database."""
    await world.append(1)
    assert await world.log.page(world.team_id, query, 10, None) == []
    assert [row async for row in world.log.oldest_first(world.team_id, query)] == []


async def test_retention_keeps_the_chain_verifiable(world: World) -> None:
    """What is old enough goes, from the beginning on; an anchor says where the rest begins."""
    await world.append(4, at=NOW - timedelta(days=91))
    await world.append(2, at=NOW - timedelta(days=89))
    await world.append(1, at=NOW - timedelta(days=92))  # behind younger ones: it stays with them
    assert await Retention(world.log, 90)() >= 4
    anchor, head = await world.log.ends(world.team_id)
    assert (anchor.sequence, head.sequence, len(await world.rows())) == (4, 7, 3)
    assert await world.found() is None
    await world.append(1)
    assert await world.found() is None
    system = await world.log.page(SYSTEM_TEAM_ID, AuditQuery(action="audit.pruned"), 1, None)
    assert int(system[0].event.facts["count"]) >= 4


async def test_all_of_a_chain_may_grow_old(world: World) -> None:
    """The next event goes on behind the anchor."""
    await world.append(3, at=NOW - timedelta(days=40))
    assert await world.log.prune(30) != (0, 0)
    assert await world.rows() == []
    assert await world.found() is None
    await world.append(1)
    assert await world.found() is None
    await world.tamper("DELETE FROM audit_events WHERE team_id = %(team)s")
    assert await world.found() == (4, "MISSING")


async def test_replicas_that_prune_at_once_remove_once(world: World) -> None:
    """However many ask, each event is removed once and the chain holds."""
    await world.append(3, at=NOW - timedelta(days=200))
    await world.append(1)
    done = await asyncio.gather(*(world.log.prune(90) for _ in range(4)))
    assert sum(events for events, _ in done) >= 3
    assert len(await world.rows()) == 1
    assert await world.found() is None


@pytest.mark.parametrize("days", [0, 366, -1])
async def test_retention_cannot_be_asked_for_less_than_a_day(world: World, days: int) -> None:
    """The one way to remove events has bounds of its own."""
    with pytest.raises(DBAPIError, match="1 to 365"):
        await world.log.prune(days)


async def test_pages_meet_without_overlap_and_filters_hold(world: World) -> None:
    """Newest first, by a cursor that new events do not move."""
    for number in range(7):
        await world.append(1, action="key.revoked" if number % 3 == 0 else "mailbox.scanned")
    await world.append(1, action="access.denied", outcome="denied", reason="SCOPE_MISSING", actor="key:1")
    read = ReadAudit(world.log)
    seen, token = [], ""
    while True:
        page = await read.page(world.team_id, AuditQuery(), 3, token)
        seen += [row.link.sequence for row in page.rows]
        await world.append(1)
        if not (token := page.next_token):
            break
    assert seen == list(range(8, 0, -1))

    async def count(**wanted: Any) -> int:
        return len((await read.page(world.team_id, AuditQuery(**wanted), 50, "")).rows)

    assert await count(action="key.revoked") == 3
    assert await count(action="mailbox.*") == 4
    assert await count(action="key%") == 0
    assert await count(outcome="denied") == 1
    assert await count(actor="key:1", action="*") == 1
    assert await count(start=NOW + timedelta(hours=1)) == 0


@pytest.mark.parametrize(
    ("size", "token", "reason"),
    [(201, "", "PAGE_SIZE_OUT_OF_RANGE"), (-1, "", "PAGE_SIZE_OUT_OF_RANGE"), (1, "x", "PAGE_TOKEN_INVALID")],
)
async def test_pages_that_make_no_sense_are_refused(world: World, size: int, token: str, reason: str) -> None:
    """With the reasons of the contract."""
    with pytest.raises(AppError, match=reason):
        await ReadAudit(world.log).page(world.team_id, AuditQuery(), size, token)


async def test_a_flood_of_refusals_leaves_two_events(world: World) -> None:
    """The first one at once, the rest as one with a count."""
    notes = RefusalNotes(world.log.append)
    refusal = {"action": "passport.refused", "outcome": "denied", "reason": "KEY_REVOKED"}
    for _ in range(500):
        await notes.note(world.event(resource="", facts={}, **refusal))
    assert len(await world.rows()) == 1
    await notes.flush()
    assert len(await world.rows()) == 1
    await notes.flush(everything=True)
    assert [event.facts.get("count") for event in await world.rows()] == [None, "499"]
