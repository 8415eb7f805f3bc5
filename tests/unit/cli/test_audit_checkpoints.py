"""Copies of checkpoints against the database, the doctor on the newest, and rotation of their keys."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from protos.auth.v1 import auth_pb2
from services.cli.audit import contradictions_of, problem_of, verify_audit
from services.cli.doctor.audit import judge_checkpoints
from services.cli.doctor.findings import Status
from services.cli.failure import Failure
from services.cli.signing_key_rotation import SigningFile
from services.common.audit_checkpoint import KEY_NAME, Checkpoint
from services.common.new_key_file import write_new_key
from services.common.signed_note import VerifierKey, sign_note
from services.common.signing_keys import read_dated_keys, write_dated_keys

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
VERIFIER = str(VerifierKey(KEY_NAME, KEY.public_key()))
AT_1 = Checkpoint(1, NOW, NOW - timedelta(days=90), 2, bytes(32))


def note(number: int, heads: bytes = bytes(32), key: Ed25519PrivateKey = KEY) -> str:
    return sign_note(replace(AT_1, number=number, heads=heads).text, KEY_NAME, key)


@pytest.mark.parametrize(
    ("copies", "kept", "said"),
    [
        ({2: [note(2)], 3: [note(3), note(3)]}, {2: note(2), 3: note(3)}, None),
        ({1: [note(1)]}, {2: note(2)}, None),  # retention has removed it
        ({3: [note(3)]}, {2: note(2)}, "3 of the copy is not there"),
        ({3: [note(3)]}, {}, "3 of the copy is not there"),
        ({2: [note(2)]}, {2: note(2, b"x" * 32), 3: note(3)}, "2 is another than in the copy"),
        ({2: [note(2), note(2, b"x" * 32)]}, {2: note(2)}, "two checkpoints 2 among the copies"),
    ],
)
def test_a_copy_that_is_not_there_any_more_is_told(
    copies: dict[int, list[str]], kept: dict[int, str], said: str | None
) -> None:
    """Cut off, replaced after a rollback, or signed twice; not what is too old to be kept."""
    problems = contradictions_of(copies, kept)
    assert (problems == []) if said is None else (len(problems) == 1 and said in problems[0])


class TamperedAuth:
    """Answers as auth does whose newest checkpoint somebody wrote over."""

    async def verify_audit(self, team_id: str) -> AsyncIterator[auth_pb2.VerifyAuditResponse]:
        assert team_id == ""
        yield auth_pb2.VerifyAuditResponse(
            problem="FORGED", broken_checkpoint=2, checkpoints=auth_pb2.CheckpointsState(count=1)
        )

    async def checkpoints(self, after: int) -> AsyncIterator[auth_pb2.ExportCheckpointsResponse]:
        for answer in found(note(1), "<html>"):
            yield answer


async def test_copies_are_compared_with_a_database_that_holds_no_checkpoint_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in its place is told of, whatever it is."""
    monkeypatch.setattr("services.cli.audit.find_operator", lambda *_: TamperedAuth())
    copies = tmp_path / "copies"
    copies.write_text(note(1) + "\n" + note(2))
    assert await verify_audit(tmp_path, "", str(copies)) == 1
    told = capsys.readouterr().out
    assert "checkpoint 2 is not what its key signed" in told
    assert "checkpoint 2 of the copy is not there" in told
    assert "checkpoint 1" not in told


def found(*notes: str, keys: tuple[str, ...] = (VERIFIER,)) -> list[auth_pb2.ExportCheckpointsResponse]:
    first = auth_pb2.ExportCheckpointsResponse(verifier_keys=keys)
    return [first, *(auth_pb2.ExportCheckpointsResponse(note=each) for each in notes)]


@pytest.mark.parametrize(
    ("answers", "after", "status", "said"),
    [
        (found(note(7)), timedelta(minutes=61), Status.PASS, "checkpoint 7 is signed, over 2 chains"),
        (found(note(7)), timedelta(hours=3), Status.FAIL, "auth signs no more"),
        (found(), timedelta(), Status.FAIL, "no checkpoint"),
        (found(keys=()), timedelta(), Status.WARN, "set AUDIT_KEY_FILE"),
        (found(note(7, key=Ed25519PrivateKey.generate())), timedelta(), Status.FAIL, "not what one of"),
        (found(note(7).replace("chains 2", "chains 3")), timedelta(), Status.FAIL, "not what one of"),
    ],
)
def test_the_newest_checkpoint_is_judged(
    answers: list[auth_pb2.ExportCheckpointsResponse], after: timedelta, status: Status, said: str
) -> None:
    """By its signature and its age."""
    finding = judge_checkpoints(answers, NOW + after)
    assert (finding.status, said in finding.evidence) == (status, True), finding.evidence


def test_every_problem_of_the_contract_is_told_in_words() -> None:
    """With the place, and the checkpoint that says so."""
    for problem in ("REWRITTEN", "CUT", "REMOVED", "ANCHOR_MOVED"):
        answer = auth_pb2.VerifyAuditResponse(
            team_id="t", problem=problem, broken_sequence=3, broken_checkpoint=8, event_count=2
        )
        assert "event 3" in problem_of(answer)
        assert "checkpoint 8" in problem_of(answer)
    added = auth_pb2.VerifyAuditResponse(team_id="t", problem="ADDED", broken_sequence=3)
    assert "event 3 stands behind the end of its chain" in problem_of(added)
    for problem in ("CHANGED", "MISSING", "REORDERED", "FORGED", "KEY_UNKNOWN", "ROLLED_BACK"):
        answer = auth_pb2.VerifyAuditResponse(
            problem=problem, broken_checkpoint=8, checkpoints=auth_pb2.CheckpointsState()
        )
        assert problem_of(answer).startswith("checkpoint 8 ")
        assert problem_of(answer) != f"checkpoint 8 {problem.lower()}"


def test_keys_of_checkpoints_rotate_and_stay(tmp_path: Path) -> None:
    """The old ones end at the switch, or at once after a theft, and are never dropped."""
    file = SigningFile.of_checkpoints(tmp_path / "audit.pem")
    write_new_key(file.path, Ed25519PrivateKey.generate())
    start = int(NOW.timestamp())
    first = file.described(start)[0][0]
    second = file.rotate(start, publish_s=120, drop_old=False)
    assert {key_id: state for key_id, state, _ in file.described(start)} == {
        first: "signs",
        second: "published",
    }
    third = file.rotate(start + 3_600, publish_s=120, drop_old=True)
    told = file.described(start + 7_200)
    assert [(key_id, state) for key_id, state, _ in told] == [
        (third, "signs"),
        (second, "ended"),
        (first, "ended"),
    ]
    assert [key.until for _, _, key in told] == [None, start + 3_610, start + 130]


def test_of_an_old_key_the_public_half_is_enough(tmp_path: Path) -> None:
    """For checkpoints alone: passports are signed with each key of their file."""
    file = SigningFile.of_checkpoints(tmp_path / "audit.pem")
    write_new_key(file.path, Ed25519PrivateKey.generate())
    first = file.described(0)[0][0]
    file.rotate(1_000, publish_s=1, drop_old=True)
    new, old = read_dated_keys(file.path.read_bytes())
    private = load_pem_private_key(old.pem, None)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.path.write_text(write_dated_keys([new, replace(old, pem=public)]))
    assert file.described(2_000)[1][:2] == (first, "ended")
    with pytest.raises(Failure):
        SigningFile.of_passports(file.path).keys()
