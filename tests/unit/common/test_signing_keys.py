"""Signing keys that follow the clock: published first, signing later, gone with their last token."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.signing_keys import (
    DatedKey,
    read_dated_keys,
    rotated,
    signer_first,
    write_dated_keys,
)

OLD, NEW, NEWER = (
    f"-----BEGIN PRIVATE KEY-----\n{name}\n-----END PRIVATE KEY-----".encode()
    for name in ("b2xk", "bmV3", "bmVy")
)
NOW = 1_800_000_000
TIMES = st.none() | st.integers(0, 4_000_000_000)


def names(keys: tuple[DatedKey, ...], now_s: float) -> list[bytes]:
    return [keys[place].pem for place in signer_first(keys, now_s)]


def test_a_rotation_needs_nobody_after_it_was_written() -> None:
    """Both are published from the start; the new one signs after 120 s; the old one ends 75 s later."""
    keys = rotated([DatedKey(OLD)], NEW, NOW, publish_s=120, life_s=75)
    assert names(keys, NOW) == names(keys, NOW + 119.9) == [OLD, NEW]
    assert names(keys, NOW + 120) == names(keys, NOW + 194.9) == [NEW, OLD]
    assert names(keys, NOW + 195) == [NEW]


def test_a_rotation_during_another_keeps_every_key_as_long_as_its_tokens() -> None:
    """No end is put off, and what has ended leaves the file."""
    once = rotated([DatedKey(OLD)], NEW, NOW, publish_s=120, life_s=75)
    twice = rotated(once, NEWER, NOW + 60, publish_s=120, life_s=75)
    assert names(twice, NOW + 100)[0] == OLD
    assert names(twice, NOW + 130) == [NEW, NEWER, OLD]
    assert names(twice, NOW + 180) == [NEWER, NEW, OLD]
    assert names(twice, NOW + 200) == [NEWER, NEW]
    again = rotated(twice, b"-", NOW + 1_000, publish_s=1, life_s=1)
    assert [key.pem for key in again] == [b"-", NEWER]


def test_a_key_without_times_always_signs() -> None:
    """Files of before, and those that openssl makes."""
    plain = read_dated_keys(
        b"-----BEGIN EC PARAMETERS-----\nx\n-----END EC PARAMETERS-----\n" + OLD + b"\n" + NEW
    )
    assert names(plain, NOW) == [OLD, NEW]


@given(st.lists(st.tuples(st.sampled_from([OLD, NEW]), TIMES, TIMES), max_size=4))
def test_what_is_written_reads_back(facts: list[tuple[bytes, int | None, int | None]]) -> None:
    """Any times, to the second."""
    keys = tuple(DatedKey(*each) for each in facts)
    assert read_dated_keys(write_dated_keys(keys).encode()) == keys


@pytest.mark.parametrize(
    "line",
    [
        "Mailwarden-Key: until=soon\n",
        "Mailwarden-Key: until=2026-11-22T00:00:00Z until=2026-11-23T00:00:00Z\n",
        "Mailwarden-Key: begin=2026-11-22T00:00:00Z\n",
        "Mailwarden-Key: until=2026-11-22T00:00:00Z\n\n",
    ],
)
def test_a_line_that_is_not_understood_is_refused(line: str) -> None:
    """To ignore an end would keep a key alive that somebody has ended."""
    with pytest.raises(ValueError, match="Mailwarden-Key"):
        read_dated_keys(line.encode() + OLD)


@given(
    st.binary(max_size=200)
    | st.text(alphabet="Mailwarden-Key:ustilgfrom=20T:Z -\nBEGINED", max_size=200).map(str.encode)
    | st.binary(max_size=60).map(lambda odd: b"Mailwarden-Key:" + odd + b"\n" + OLD)
)
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    """One kind of error, whatever the file holds."""
    with contextlib.suppress(ValueError):
        read_dated_keys(content)
