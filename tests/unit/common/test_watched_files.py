"""A changed file is noticed, a broken one changes nothing."""

from pathlib import Path

import pytest
import structlog

from services.common.watched_files import LOOK_EVERY_S, WatchedFiles


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_changed_file_is_read_again_and_a_broken_one_is_told_once(tmp_path: Path) -> None:
    """Replaced, broken, gone, and good again."""
    file, clock = tmp_path / "n", Clock()
    file.write_text("1")
    watched = WatchedFiles("numbers", [file], lambda: int(file.read_text()), clock)

    def later() -> int:
        clock.now += LOOK_EVERY_S
        return watched.current()

    file.write_text("22")
    assert watched.current() == 1
    with structlog.testing.capture_logs() as logs:
        assert later() == 22
        file.write_text("secret")
        assert [later(), later()] == [22, 22]
        file.unlink()
        assert [later(), later()] == [22, 22]
        file.write_text("3")
        assert later() == 3
    events = [(log["event"], log.get("problem")) for log in logs]
    assert events == [
        ("changed_file_read", None),
        ("changed_file_unusable", "ValueError"),
        ("changed_file_unusable", "FileNotFoundError"),
        ("changed_file_read", None),
    ]
    assert "secret" not in str(logs)


def test_a_file_that_is_broken_from_the_start_is_the_callers_matter(tmp_path: Path) -> None:
    """There is no good value to go on with."""
    with pytest.raises(FileNotFoundError):
        WatchedFiles("numbers", [tmp_path / "n"], lambda: int((tmp_path / "n").read_text()))
