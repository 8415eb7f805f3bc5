"""`mailwarden audit` of a running system: checkpoints are exported, kept elsewhere, and compared."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.common.audit_checkpoint import Checkpoint, checkpoint_of, notes_in
from services.common.signed_note import VerifierKey, open_note
from tests.system import ROOT, RunningSystem


def mailwarden(
    system: RunningSystem, *arguments: str, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments, "--data-dir", str(system.data_dir)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, input=given
    )


@pytest.mark.promise("audit.signed")
def test_what_was_signed_is_exported_and_still_there(system: RunningSystem, tmp_path: Path) -> None:
    """As signed notes that anybody can verify; the copy beside the database agrees, and so does the log."""
    copy = tmp_path / "copies"
    done = mailwarden(system, "audit", "checkpoints", "--output", str(copy))
    assert done.returncode == 0, done.stderr
    [key] = mailwarden(system, "audit", "checkpoints", "--keys").stdout.split()
    notes = list(notes_in(copy.read_text()))
    checkpoints = [Checkpoint.parse(open_note(note, [VerifierKey.parse(key)])[0]) for note in notes]
    assert [each.number for each in checkpoints] == list(range(1, len(notes) + 1))
    assert len(notes) >= 2
    for source, given in ((str(copy), None), ("-", notes[-1])):
        verified = mailwarden(system, "audit", "verify", "--checkpoint", source, given=given)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert "events verified" in verified.stdout
        assert "still what the database holds" in verified.stdout
    beside = (system.data_dir / "audit-checkpoints.txt").read_text()
    assert list(notes_in(beside))[: len(notes)] == notes
    newest = mailwarden(system, "audit", "checkpoints", "--newest", "--after", "1").stdout
    assert len(list(notes_in(newest))) == 1


@pytest.mark.promise("audit.signed")
def test_a_copy_that_is_no_checkpoint_of_ours_is_told_of(system: RunningSystem, tmp_path: Path) -> None:
    """Changed, or something else altogether."""
    note = mailwarden(system, "audit", "checkpoints", "--newest").stdout
    number = checkpoint_of(note).number
    forged = note.replace(f"number {number}\n", f"number {number + 1}\n")
    found = mailwarden(system, "audit", "verify", "--checkpoint", "-", given=note + forged)
    assert (found.returncode, "copy 2 is not what its key signed" in found.stdout) == (1, True), found.stdout
    found = mailwarden(system, "audit", "verify", "--checkpoint", "-", given="no note")
    assert (found.returncode, "holds no checkpoint" in found.stderr) == (1, True)
    found = mailwarden(system, "audit", "verify", "--checkpoint", str(tmp_path / "missing"))
    assert (found.returncode, "cannot read" in found.stderr) == (1, True)
