"""Tenant secrets at rest: what was sealed for a team opens for that team, and nothing else opens."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.sealing import KEY_BYTES, Sealer, SealError, new_master_key_line, read_master_keys

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(range(1, KEY_BYTES + 1))
SEALER = Sealer("k1", {"k1": KEY})
TEAM, OTHER_TEAM = "5d5f5c1e-0000-4000-8000-000000000001", "5d5f5c1e-0000-4000-8000-000000000002"


@given(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_is_sealed_opens_for_its_team(secret: bytes, team: str) -> None:
    """Any bytes, any team id."""
    assert SEALER.open(SEALER.seal(secret, team), team) == secret


def test_sealing_twice_never_gives_the_same_bytes() -> None:
    """A nonce that came again would open both (NIST SP 800-38D §8)."""
    assert len({SEALER.seal(b"secret", TEAM) for _ in range(200)}) == 200


def test_the_secret_is_not_in_what_is_stored() -> None:
    """Nor is it there in another spelling."""
    sealed = SEALER.seal(b"refresh-token-1", TEAM)
    assert b"refresh" not in sealed
    assert b"refresh" not in base64.b64encode(sealed)


@pytest.mark.promise("secrets.sealed")
def test_another_team_cannot_open_it() -> None:
    """A row copied to another tenant stays shut."""
    with pytest.raises(SealError):
        SEALER.open(SEALER.seal(b"secret", TEAM), OTHER_TEAM)


@pytest.mark.promise("secrets.sealed")
@pytest.mark.parametrize(
    "sealer",
    [Sealer("k1", {"k1": OTHER}), Sealer("k2", {"k2": KEY}), Sealer("k1", {})],
    ids=["another key of the same name", "the key under another name", "no key"],
)
def test_a_key_that_cannot_open_fails_closed(sealer: Sealer) -> None:
    """An error, never some bytes."""
    with pytest.raises(SealError):
        sealer.open(SEALER.seal(b"secret", TEAM), TEAM)


@pytest.mark.promise("secrets.sealed")
def test_every_flipped_bit_is_noticed() -> None:
    """Version, key id, nonce, ciphertext and tag."""
    sealed = SEALER.seal(b"secret", TEAM)
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealError):
            SEALER.open(bytes(changed), TEAM)


def test_every_truncation_is_noticed() -> None:
    """Down to nothing at all."""
    sealed = SEALER.seal(b"secret", TEAM)
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            SEALER.open(sealed[:length], TEAM)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_never_open_and_never_break_the_reader(sealed: bytes) -> None:
    """One kind of error, whatever the column holds."""
    with pytest.raises(SealError):
        SEALER.open(sealed, TEAM)


def test_rotation_opens_the_old_and_seals_with_the_new(tmp_path: Path) -> None:
    """A new first line is the current key; the lines below still open."""
    file = tmp_path / "keys"
    old_line = new_master_key_line("old")
    file.write_text(f"{old_line}\n")
    sealed = read_master_keys(file).seal(b"secret", TEAM)
    file.write_text(f"{new_master_key_line('new')}\n{old_line}\n")
    rotated = read_master_keys(file)
    assert rotated.open(sealed, TEAM) == b"secret"
    assert b"new" in rotated.seal(b"secret", TEAM)[:8]
    file.write_text(f"{new_master_key_line('new')}\n")
    with pytest.raises(SealError):
        read_master_keys(file).open(sealed, TEAM)


GOOD = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        f":{GOOD}",
        f"k1:{GOOD[:-4]}",  # too short
        f"k1:{GOOD}AAAA",  # too long
        f"k1:{GOOD[:-2]}!=",  # not base64
        f"{'k' * 65}:{GOOD}",
        f"schlüssel:{GOOD}",
        f"k1:{GOOD}\nk1:{GOOD}",  # which of the two?
    ],
)
def test_an_unusable_key_file_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    """The message names the file and the line, and holds no key material."""
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ValueError, match=str(file)) as caught:
        read_master_keys(file)
    assert GOOD[:12] not in str(caught.value)


@pytest.mark.promise("secrets.shown")
def test_no_repr_shows_a_key() -> None:
    """Nor does an error: both end up in logs."""
    shown = repr(SEALER) + str(SEALER)
    assert repr(KEY)[2:20] not in shown
    assert "k1" in shown
    with pytest.raises(SealError) as caught:
        SEALER.open(SEALER.seal(b"planted", TEAM)[:-1], TEAM)
    assert "planted" not in repr(caught.value)
    assert caught.value.__suppress_context__
