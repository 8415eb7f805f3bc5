"""The data folder: one system at a time, secrets private, logs of the last run kept."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.failure import Failure
from services.cli.folder import DataFolder

_HOLD = """
import sys
from pathlib import Path
from services.cli.folder import DataFolder
DataFolder.prepare(Path(sys.argv[1])).lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_system_in_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    """Two servers on one database folder would destroy it."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Failure, match=f"in use by process {holder.pid}"):
            DataFolder.prepare(tmp_path).lock()
        holder.communicate(timeout=5)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed system leaves nothing that must be cleaned up by hand."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=20, stdout=subprocess.DEVNULL)
    assert DataFolder.prepare(tmp_path).lock() > 0


def test_a_secret_is_written_once_and_private(tmp_path: Path) -> None:
    """What was sealed with a key must open after a restart."""
    folder = DataFolder.prepare(tmp_path)
    path = folder.secret("master.key", "first")
    assert folder.secret("master.key", "second").read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o700


def test_logs_of_the_last_run_are_kept_once(tmp_path: Path) -> None:
    """The log that a failure message points to begins with this run."""
    folder = DataFolder.prepare(tmp_path)
    for text in ("older", "old"):
        folder.log("auth").write_text(text)
        folder.rotate_logs()
    assert not folder.log("auth").exists()
    assert (folder.logs / "auth.log.1").read_text() == "old"


def test_a_folder_that_cannot_be_made_is_a_plain_failure(tmp_path: Path) -> None:
    """No traceback for a mistyped path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot use the data folder"):
        DataFolder.prepare(tmp_path / "file" / "data")
