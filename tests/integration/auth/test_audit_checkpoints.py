"""What the owner of the schema can do to the audit log, and how signed checkpoints tell of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sqlalchemy.exc import DBAPIError

from services.auth.operations.audit_checkpoints import Pace, signing
from services.auth.operations.audit_upkeep import Retention
from services.common.audit import SYSTEM_TEAM_ID
from services.common.audit_checkpoint import Checkpoint, checkpoint_of, notes_in
from services.common.migrations import upgrade
from services.common.new_key_file import write_new_key
from services.common.signing_keys import DatedKey, read_dated_keys, write_dated_keys
from tests.integration.auth.audit_world import DAYS, MIGRATIONS, AuditWorld, audit_world
from tests.postgres import Databases

A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
SWAP_NOTES = """
    UPDATE audit_checkpoints SET note = other.note FROM audit_checkpoints other
    WHERE audit_checkpoints.number IN (3, 4) AND other.number = 7 - audit_checkpoints.number
"""
FORMER_ENVIRONMENT = """
from services.common.migrations import run_env

run_env(withheld={"audit_events": "UPDATE, DELETE", "audit_heads": "INSERT, UPDATE, DELETE"})
"""


@pytest.fixture
async def world(databases: Databases, tmp_path: Path) -> AsyncIterator[AuditWorld]:
    async with audit_world(databases, tmp_path) as made:
        yield made


async def three_rounds(world: AuditWorld) -> Checkpoint:
    """Checkpoint 1 is the beginning; 2 names A and B at 3, 3 names A at 6, 4 names A at 9 and B at 6."""
    await world.record(A, B)
    await world.record(A)
    await world.record(A, B)
    assert await world.problems() == {}
    newest = await world.checkpoints.newest()
    assert newest is not None
    return checkpoint_of(newest.note)


# --- what an owner can do


@pytest.mark.promise("audit.signed")
async def test_a_cut_end_is_found_though_the_head_was_moved_back(world: AuditWorld) -> None:
    """By the event that the checkpoint names and that is not there."""
    await three_rounds(world)
    await world.tamper(
        "DELETE FROM audit_events WHERE team_id = %(team)s AND sequence > 6",
        "UPDATE audit_heads SET sequence = 6, hash = (SELECT hash FROM audit_events WHERE team_id = %(team)s"
        " AND sequence = 6) WHERE team_id = %(team)s",
        team=A,
    )
    assert await world.problems() == {A: (7, "CUT", 4)}
    await world.record(A)  # the chain goes on, and is signed as it is: what was named stays named
    assert await world.problems() == {A: (9, "REWRITTEN", 4)}


@pytest.mark.promise("audit.signed")
async def test_a_team_that_was_wiped_with_its_head_is_found(world: AuditWorld) -> None:
    """The checkpoints know that there was one; also when it is asked for alone, and after it began anew."""
    await three_rounds(world)
    await world.tamper("DELETE FROM audit_events WHERE team_id = %(team)s", team=B)
    await world.tamper("DELETE FROM audit_heads WHERE team_id = %(team)s", team=B)
    assert await world.problems() == {B: (1, "REMOVED", 4)}
    _, verdicts = await world.verdicts(team_id=B)
    assert verdicts[B].broken is not None
    await world.record(A)
    assert await world.problems() == {B: (1, "REMOVED", 5)}
    await world.record(B, count=1)
    assert await world.problems() == {B: (2, "CUT", 2)}


@pytest.mark.promise("audit.signed")
async def test_a_chain_with_all_hashes_computed_anew_is_found(world: AuditWorld) -> None:
    """It fits together without a flaw, and is another than was signed."""
    await three_rounds(world)
    await world.rewrite(A, 5, actor="nobody")
    assert await world.problems() == {A: (6, "REWRITTEN", 3)}
    _, verdicts = await world.verdicts()
    assert (verdicts[A].signed, verdicts[B].signed) == (3, 6)


@pytest.mark.promise("audit.signed")
async def test_an_anchor_that_retention_did_not_set_is_found(world: AuditWorld) -> None:
    """Though it lies where a checkpoint names the chain: that one is not old enough."""
    await three_rounds(world)
    moved = (
        """
        UPDATE audit_heads SET anchor_sequence = %(at)s, anchor_hash = (
            SELECT hash FROM audit_events WHERE team_id = %(team)s AND sequence = %(at)s)
        WHERE team_id = %(team)s
        """,
        "DELETE FROM audit_events WHERE team_id = %(team)s AND sequence <= %(at)s",
    )
    await world.tamper(*moved, team=A, at=6)
    assert await world.problems() == {A: (6, "ANCHOR_MOVED", 4)}
    await world.tamper(*moved, team=A, at=7)
    assert await world.problems() == {A: (7, "ANCHOR_MOVED", 4)}
    world.clock.forward(days=1)
    await world.record(A)
    assert (await world.problems())[A] == (7, "ANCHOR_MOVED", 5)


@pytest.mark.promise("audit.signed")
async def test_an_anchor_that_only_a_row_beside_the_checkpoints_names_is_found(world: AuditWorld) -> None:
    """Where retention has been, a row of before the first checkpoint is part of nothing that is signed."""
    await world.record(A)
    world.clock.forward(days=DAYS + 1)
    await world.record(A)
    assert await world.prune() == 3
    await world.record(A)
    assert await world.problems() == {}
    await world.tamper(
        """
        INSERT INTO audit_checkpoint_heads (team_id, number, sequence, hash)
        SELECT team_id, 0, sequence, hash FROM audit_events WHERE team_id = %(team)s AND sequence = 8
        """,
        """
        UPDATE audit_heads SET anchor_sequence = 8, anchor_hash = (
            SELECT hash FROM audit_events WHERE team_id = %(team)s AND sequence = 8)
        WHERE team_id = %(team)s
        """,
        "DELETE FROM audit_events WHERE team_id = %(team)s AND sequence <= 8",
        team=A,
    )
    assert await world.problems() == {A: (8, "ANCHOR_MOVED", 4)}


async def test_a_checkpoint_that_was_moved_into_the_past_lets_nothing_go(world: AuditWorld) -> None:
    """The columns beside a note are for retention alone: what it then cuts is found by the notes."""
    await three_rounds(world)
    await world.tamper(
        "UPDATE audit_checkpoints SET signed_at = signed_at - interval '400 days', kept_from = now()"
    )
    await world.log.prune(1)
    assert await world.problems() == {"checkpoints": (3, "MISSING", 3)}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM audit_checkpoints WHERE number = 3", (3, "MISSING", 3)),
        ("DELETE FROM audit_checkpoints WHERE number < 3", (2, "MISSING", 2)),
        ("DELETE FROM audit_checkpoints WHERE number = 1", (1, "MISSING", 1)),
        ("UPDATE audit_checkpoints SET note = replace(note, 'chains 2', 'chains 3')", (2, "FORGED", 2)),
        ("UPDATE audit_checkpoints SET note = 'x' WHERE number = 4", (4, "FORGED", 4)),
        (SWAP_NOTES, (3, "REORDERED", 3)),
        ("UPDATE audit_checkpoint_heads SET sequence = 5 WHERE number = 3", (3, "CHANGED", 3)),
        ("DELETE FROM audit_checkpoint_heads WHERE number = 4", (4, "CHANGED", 4)),
        ("UPDATE audit_checkpoint_heads SET number = 3 WHERE number = 4 AND sequence = 6", (3, "CHANGED", 3)),
    ],
)
async def test_a_checkpoint_that_was_touched_is_named(
    world: AuditWorld, statement: str, found: tuple[int, str, int]
) -> None:
    """Removed, changed, put elsewhere, or told to name something else."""
    await three_rounds(world)
    await world.tamper(statement)
    assert (await world.problems())["checkpoints"] == found


async def test_checkpoints_of_a_key_of_ones_own_prove_nothing(world: AuditWorld, tmp_path: Path) -> None:
    """Whoever signs the whole story anew signs it with a key that auth does not have."""
    await world.record(A)
    await world.rewrite(A, 2, actor="nobody")
    await world.tamper("TRUNCATE audit_checkpoints, audit_checkpoint_heads")
    genuine = world.key_file
    world.key_file = tmp_path / "other.pem"
    write_new_key(world.key_file, Ed25519PrivateKey.generate())
    await world.replica()()
    assert await world.problems() == {}
    world.key_file = genuine
    assert await world.problems() == {"checkpoints": (1, "KEY_UNKNOWN", 1)}


@pytest.mark.promise("audit.signed")
async def test_a_database_rolled_back_whole_is_found_by_who_saw_more(
    world: AuditWorld, tmp_path: Path
) -> None:
    """By a process that goes on, by its copy after a restart, and still when the log has grown again."""
    copies = tmp_path / "copies"
    world.sign = world.replica(copies)
    await world.record(A)
    backup = await world.saved()
    await world.record(A)
    await world.record(B)
    seen = world.sign.seen
    assert seen is not None
    assert seen.number == 4
    await world.restore(backup)
    assert await world.problems() == {}  # by itself it is as it was
    assert await world.problems(seen) == {"checkpoints": (4, "ROLLED_BACK", 4)}
    for _ in range(3):
        await world.record(B)  # each round has something new to sign
    assert world.sign.seen == seen
    assert await world.problems(seen) == {"checkpoints": (4, "ROLLED_BACK", 4)}
    assert world.replica(copies).seen == seen
    assert [checkpoint_of(note).number for note in notes_in(copies.read_text())] == [1, 2, 3, 4]


async def test_what_happens_while_auth_runs_is_in_its_log_at_once(
    world: AuditWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next checkpoint sees it, and says which team."""
    await three_rounds(world)
    await world.tamper("DELETE FROM audit_heads WHERE team_id = %(team)s", team=B)
    await world.record(A)
    assert "audit_contradicts_checkpoint" in capsys.readouterr().out
    await world.tamper("DELETE FROM audit_checkpoints WHERE number > 2")
    await world.tamper("DELETE FROM audit_checkpoint_heads WHERE number > 2")
    await world.record(A)
    assert "audit_checkpoints_rolled_back" in capsys.readouterr().out


async def test_the_role_that_serves_may_add_and_no_more(world: AuditWorld) -> None:
    """And sees them only where it says that it looks at checkpoints."""
    await world.record(A)
    on = {"mailwarden.audit_checkpoints": "on"}
    for statement in (
        "UPDATE audit_checkpoints SET note = ''",
        "DELETE FROM audit_checkpoints",
        "TRUNCATE audit_checkpoint_heads",
        "UPDATE audit_checkpoint_heads SET sequence = 1",
        "DELETE FROM audit_checkpoint_heads",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with world.database.transaction(on) as connection:
                await connection.execute(sa.text(statement))
    async with world.database.team(A) as connection:
        for table in ("audit_checkpoints", "audit_checkpoint_heads"):
            assert (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0
        heads = await connection.execute(sa.text("SELECT count(*) FROM audit_heads"))
        assert heads.scalar_one() == 1


async def test_the_role_that_serves_cannot_make_retention_take_what_is_young(world: AuditWorld) -> None:
    """Not even with a checkpoint of its own that says to be old."""
    world.clock.now = datetime.now(UTC)
    await world.record(A)
    async with world.database.transaction({"mailwarden.audit_checkpoints": "on"}) as connection:
        await connection.execute(
            sa.text("INSERT INTO audit_checkpoints VALUES (9, now() - interval '400 days', now(), 'old')")
        )
        await connection.execute(
            sa.text("INSERT INTO audit_checkpoint_heads SELECT team_id, 9, sequence, hash FROM audit_heads")
        )
    assert await world.log.prune(1) == (0, 0)
    assert len(await world.log.rows(A, 0, 10)) == 3


# --- an honest life


async def test_retention_cuts_where_a_checkpoint_stands_and_all_holds(world: AuditWorld) -> None:
    """Again and again, with what is idle, what goes on, and what begins late."""
    await world.record(A, B)
    world.clock.forward(days=DAYS - 1)
    await world.record(A)
    assert await world.prune() == 0
    world.clock.forward(days=2)
    await world.record(A)  # now what the second checkpoint names is old enough
    assert await world.prune() == 6
    assert await world.problems() == {}
    anchor, head = await world.log.ends(A)
    assert (anchor.sequence, head.sequence) == (3, 9)
    assert (await world.log.ends(B))[0].sequence == 3
    await world.record(B, str(uuid4()))
    for _ in range(3):
        world.clock.forward(days=DAYS)
        await world.record(A)
        await world.prune()
        assert await world.problems() == {}
    kept = await world.checkpoints.notes(0, 100)
    assert kept[0].number > 2
    of_checkpoints, _ = await world.verdicts()
    assert of_checkpoints.count == len(kept)


async def test_an_idle_log_is_still_signed_and_ends_in_time(world: AuditWorld) -> None:
    """Else nothing would say any more from when on events are kept."""
    await world.record(A)
    assert await world.sign() is None
    world.clock.forward(hours=1)
    assert await world.sign() is not None
    world.clock.forward(days=DAYS + 1)
    assert await world.sign() is not None
    assert await world.prune() == 3
    assert await world.problems() == {}
    await world.record(A)
    assert await world.problems() == {}


async def test_events_that_were_recorded_with_an_old_time_stay_their_days(world: AuditWorld) -> None:
    """Retention goes by when an event was signed: one that says to be old is not freed by that."""
    old, future = world.clock() - timedelta(days=300), world.clock() + timedelta(days=300)
    await world.log.append([replace(world.event(A), at=at) for at in (old, future)])
    await world.sign()
    assert await world.prune() == 0
    world.clock.forward(days=DAYS + 1)
    await world.sign()
    assert await world.prune() == 2


async def test_an_upgrade_signs_what_is_there(databases: Databases, tmp_path: Path) -> None:
    """Chains that were pruned before there were checkpoints begin where they began."""
    before = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, before)
    for file in (before / "versions").glob("000[6-9]*.py"):
        file.unlink()
    (before / "env.py").write_text(FORMER_ENVIRONMENT)
    async with audit_world(databases, tmp_path, before) as world:
        for by in (0, 100):
            world.clock.forward(days=by)
            await world.log.append([world.event(A) for _ in range(4)])
        assert (await world.log.prune(365))[0] == 4
        await asyncio.to_thread(upgrade, MIGRATIONS, *world.urls)
        await world.record(B)
        assert await world.problems() == {}
        assert (await world.log.ends(A))[0].sequence == 4
        world.clock.forward(days=DAYS + 1)
        await world.record(B)
        assert await world.prune() == 7
        assert await world.problems() == {}


async def test_without_a_key_retention_goes_by_the_time_of_events(world: AuditWorld) -> None:
    """As before there were checkpoints; and the first one takes over what is there."""
    await world.log.append([world.event(A) for _ in range(4)])
    world.clock.forward(days=DAYS + 400)
    await world.log.append([world.event(A)])
    assert (await world.log.prune(DAYS))[0] == 4
    await world.record(A)
    assert await world.problems() == {}


async def test_replicas_that_sign_at_once_make_one_story(world: AuditWorld) -> None:
    """While teams go on, and retention runs: nobody fails, nothing is named twice."""
    replicas = [world.replica() for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(
            *(replica() for replica in replicas),
            *(world.log.append([world.event(team)]) for team in (A, B, SYSTEM_TEAM_ID)),
            Retention(world.log, DAYS)(),
        )
    await world.sign()
    assert await world.problems() == {}
    _, verdicts = await world.verdicts()
    assert {team: verdict.signed for team, verdict in verdicts.items()} == {A: 3, B: 3, SYSTEM_TEAM_ID: 3}


async def test_what_was_recorded_before_a_kill_is_signed_after_it(world: AuditWorld) -> None:
    """An event without a checkpoint is no fault. The next process names it."""
    await world.record(A)
    await world.log.append([world.event(A)])
    assert await world.problems() == {}
    _, verdicts = await world.verdicts()
    assert (verdicts[A].count, verdicts[A].signed) == (4, 3)
    await world.replica()()
    _, verdicts = await world.verdicts()
    assert (verdicts[A].count, verdicts[A].signed) == (4, 4)


async def test_a_thousand_events_do_not_wait_for_the_clock(world: AuditWorld) -> None:
    """And what happens last is signed at the end."""
    pace = Pace(every_s=3_600.0, max_unsigned=5)
    log = type(world.log)(world.database, pace.note)
    async with signing(world.sign, pace):
        await _until_signed(world, 1)
        await log.append([world.event(A) for _ in range(5)])
        await _until_signed(world, 2)
        await log.append([world.event(A)])
    _, verdicts = await world.verdicts()
    assert verdicts[A].signed == 6


async def _until_signed(world: AuditWorld, number: int) -> None:
    async with asyncio.timeout(30):
        while (newest := await world.checkpoints.newest()) is None or newest.number < number:
            await asyncio.sleep(0.02)


async def test_keys_rotate_and_the_old_ones_still_verify(world: AuditWorld) -> None:
    """Also when only their public half is left. One that is gone is named; one that ended signs nothing."""
    await world.record(A)
    [old] = read_dated_keys(world.key_file.read_bytes())
    private = load_pem_private_key(old.pem, None)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    switch = int(world.clock().timestamp())
    other = world.key_file.with_name("new.pem")
    write_new_key(other, Ed25519PrivateKey.generate())
    new = DatedKey(read_dated_keys(other.read_bytes())[0].pem, signs_from=switch)
    world.key_file.write_text(write_dated_keys([new, DatedKey(public, until=switch)]))
    world.clock.forward(minutes=1)
    world.sign = world.replica()
    await world.record(A)
    assert await world.problems() == {}
    world.key_file.write_text(write_dated_keys([new]))
    assert await world.problems() == {"checkpoints": (1, "KEY_UNKNOWN", 1)}
    world.key_file.write_text(write_dated_keys([new, DatedKey(public, until=switch - 86_400)]))
    assert await world.problems() == {"checkpoints": (1, "FORGED", 1)}


async def test_a_verification_holds_while_retention_and_signing_go_on(world: AuditWorld) -> None:
    """What goes meanwhile was to go."""
    await world.record(A, B)
    world.clock.forward(days=DAYS + 1)
    await world.record(A, B)

    async def go_on() -> None:
        for _ in range(5):
            await world.prune()
            await world.record(A)
            world.clock.forward(days=DAYS + 1)

    async with asyncio.TaskGroup() as group:
        going = group.create_task(go_on())
        while not going.done():
            assert await world.problems() == {}
    assert await world.problems() == {}


async def test_nobody_waits_for_a_checkpoint(world: AuditWorld) -> None:
    """Signing holds a lock of its own; a change of a team does not take it."""
    await world.record(A)
    async with await psycopg.AsyncConnection.connect(world.urls[0]) as other:
        await other.execute("SELECT pg_advisory_xact_lock(726003)")
        waiting = asyncio.create_task(world.sign())
        async with asyncio.timeout(10):
            assert await world.log.append([world.event(A)]) == 1
        assert not waiting.done()
        await other.rollback()
        assert await waiting is not None
