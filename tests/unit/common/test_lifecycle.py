"""Files that are there whole or not at all, and addresses."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.lifecycle import announce, join_address, split_address, write_atomically


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """A reader that has the old one open keeps it."""
    file = tmp_path / "ready.json"
    write_atomically(file, "old")
    with file.open() as reader:
        write_atomically(file, "new")
        assert reader.read() == "old"
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    """Even where a crash left the temporary file of a former process, open to all."""
    file = tmp_path / "key"
    leftover = tmp_path / f".key.{os.getpid()}"
    leftover.write_text("x")
    leftover.chmod(0o666)
    write_atomically(file, "secret", mode=0o600)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_link_planted_for_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """Folders for temporary files are shared on some machines."""
    victim, file = tmp_path / "victim", tmp_path / "ready.json"
    victim.write_text("precious")
    (tmp_path / f".ready.json.{os.getpid()}").symlink_to(victim)
    write_atomically(file, "new")
    assert (victim.read_text(), file.read_text()) == ("precious", "new")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """Half a file is worse than none."""
    file = tmp_path / "ready.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "new \ud800")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


def test_the_announcement_says_who_and_where(tmp_path: Path) -> None:
    """What `mailwarden up` and tests wait for."""
    file = tmp_path / "ready.json"
    announce(file, "edge_rest", {"http": "127.0.0.1:1"})
    assert json.loads(file.read_text()) == {
        "service": "edge_rest",
        "pid": os.getpid(),
        "addresses": {"http": "127.0.0.1:1"},
    }
    announce(None, "edge_rest", {})


@given(st.sampled_from(["127.0.0.1", "::", "::1", "mail-core.svc", "0.0.0.0"]), st.integers(0, 65_535))
def test_addresses_read_back_as_written(host: str, port: int) -> None:
    """IPv6 in brackets (RFC 3986 §3.2.2)."""
    assert split_address(join_address(host, port)) == (host, port)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """Without them the port could not be told from the host."""
    assert join_address("::1", 80) == "[::1]:80"
