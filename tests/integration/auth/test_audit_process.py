"""Real processes of auth that sign checkpoints: two at once, one killed, one stopped, one without a key."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.cli.failure import Failure
from services.cli.programs import start
from services.common.audit_checkpoint import notes_in
from services.common.signed_note import VerifierKey, open_note
from tests.integration.auth.audit_world import AuditWorld, audit_world
from tests.integration.auth.processes import RunningAuth, auth_program, running_auth
from tests.postgres import Databases


@pytest.fixture
async def world(databases: Databases, tmp_path: Path) -> AsyncIterator[AuditWorld]:
    """A database of our own; the clock of the processes is the real one."""
    async with audit_world(databases, tmp_path) as made:
        yield made


def settings(world: AuditWorld, **more: str) -> dict[str, str]:
    return {"AUDIT_KEY_FILE": str(world.key_file), "AUDIT_CHECKPOINT_S": "1", **more}


async def verified(auth: RunningAuth) -> list[auth_pb2.VerifyAuditResponse]:
    stub = auth_pb2_grpc.AuthAdminServiceStub(auth.channel("cli"))
    return [each async for each in stub.VerifyAudit(auth_pb2.VerifyAuditRequest())]


def signed_in(log: Path) -> list[str]:
    """The notes that the process's log holds."""
    lines: list[Any] = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line["note"] for line in lines if line.get("event") == "audit_checkpoint"]


async def test_two_replicas_sign_one_story_through_kill_and_stop(world: AuditWorld, tmp_path: Path) -> None:
    """What the killed one left is signed by the other, and the last events at the stop."""
    copies = tmp_path / "copies"
    files = {"AUDIT_CHECKPOINT_FILE": str(copies)}
    async with running_auth(tmp_path / "a", world.urls[1], **settings(world, **files)) as first:
        program = auth_program(tmp_path / "b", world.urls[1], settings(world))
        (tmp_path / "b").mkdir(exist_ok=True)
        second = await start(program)
        for _ in range(3):
            await first.create_key()
        second.process.kill()
        await second.process.wait()
        await first.create_key()
        async with asyncio.timeout(60):
            while not all(each.signed_sequence == each.event_count for each in (await verified(first))[1:]):
                await asyncio.sleep(0.1)
        answers = await verified(first)
        assert all(each.intact for each in answers)
        assert answers[0].checkpoints.count >= 2
        await first.create_key()
    notes = [*signed_in(tmp_path / "a" / "auth.log"), *signed_in(tmp_path / "b" / "auth.log")]
    kept = [each.note for each in await world.checkpoints.notes(0, 1_000)]
    assert set(notes) <= set(kept)
    assert len(kept) - len(notes) <= 1  # the killed one may have died between the two
    assert list(notes_in(copies.read_text()))[-1] == kept[-1]
    # The last key was made a moment before the stop.
    _, verdicts = await world.verdicts()
    assert all(verdict.broken is None for verdict in verdicts.values())
    assert {verdict.signed - verdict.count for verdict in verdicts.values()} == {0}


async def test_checkpoints_and_their_key_are_for_the_operator(world: AuditWorld, tmp_path: Path) -> None:
    """They are streamed with the public key that opens them; the private one is nowhere but in its file."""
    async with running_auth(tmp_path / "a", world.urls[1], **settings(world)) as auth:
        stub = auth_pb2_grpc.AuthAdminServiceStub(auth.channel("cli"))
        async with asyncio.timeout(60):
            while len(answers := [each async for each in stub.ExportCheckpoints(_all())]) < 2:
                await asyncio.sleep(0.1)
        keys = [VerifierKey.parse(key) for key in answers[0].verifier_keys]
        assert [open_note(each.note, keys)[1] for each in answers[1:]] == keys * (len(answers) - 1)
        only = auth_pb2.ExportCheckpointsRequest(newest_only=True, after_number=10**9)
        assert [each.note async for each in stub.ExportCheckpoints(only)] == [""]
    secret = world.key_file.read_text().splitlines()[1]
    assert secret not in (tmp_path / "a" / "auth.log").read_text()


def _all() -> auth_pb2.ExportCheckpointsRequest:
    return auth_pb2.ExportCheckpointsRequest()


async def test_without_a_key_auth_works_and_says_so(world: AuditWorld, tmp_path: Path) -> None:
    """An older manifest starts: nothing is signed, and verification says that nothing is."""
    async with running_auth(tmp_path / "a", world.urls[1]) as auth:
        await auth.create_key()
        answers = await verified(auth)
        assert all(each.intact for each in answers)
        assert answers[0].checkpoints.count == 0
    assert "audit_not_signed" in (tmp_path / "a" / "auth.log").read_text()
    assert await world.checkpoints.newest() is None


@pytest.mark.parametrize("content", ["", "no key", None])
async def test_a_key_file_that_cannot_be_used_stops_the_start(
    world: AuditWorld, tmp_path: Path, content: str | None
) -> None:
    """In production none is made. What is in the file is not told."""
    file = tmp_path / "keys.pem"
    if content is not None:
        file.write_text(content)
    more = {
        "AUDIT_KEY_FILE": str(file),
        "PASSPORT_KEY_FILE": str(world.key_file),
        "MAILWARDEN_ENV": "production",
    }
    (tmp_path / "a").mkdir()
    program = auth_program(tmp_path / "a", world.urls[1], {**settings(world), **more})
    with pytest.raises(Failure, match="AUDIT_KEY_FILE"):
        await start(program)
