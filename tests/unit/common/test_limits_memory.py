"""Counting in one process, over any order of requests."""

from hypothesis import given
from hypothesis import strategies as st

from services.common.limits import Limit, headers_of
from services.common.limits_memory import MemoryWindows

LIMIT = Limit("key", "k", 5)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=80))
def test_no_60_seconds_hold_more_than_the_limit(pauses: list[float]) -> None:
    """Ours: whichever 60 seconds one looks at."""
    now = 0.0
    windows = MemoryWindows(lambda: now)
    times: list[float] = []
    for pause in pauses:
        now += pause
        if windows.admit_now((LIMIT,)).refused is None:
            times.append(now)
    assert all(sum(start <= t < start + 60 for t in times) <= LIMIT.per_minute for start in times)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=80))
def test_whoever_has_asked_for_less_than_the_limit_is_let_in(pauses: list[float]) -> None:
    """Ours: no request is refused while fewer than the limit were let in in the 60 seconds before."""
    now = 0.0
    windows = MemoryWindows(lambda: now)
    times: list[float] = []
    for pause in pauses:
        now += pause
        has_room = sum(t > now - 60 for t in times) < LIMIT.per_minute
        assert (windows.admit_now((LIMIT,)).refused is None) == has_room
        if has_room:
            times.append(now)


def test_silent_subjects_are_forgotten() -> None:
    """Memory follows the last minute's subjects, not all that there ever were."""
    now = 0.0
    windows = MemoryWindows(lambda: now)
    for i in range(1_000):
        windows.admit_now((Limit("address", f"a{i}", 5),))
        now += 1
    assert len(windows) <= 61


def test_a_flood_of_subjects_has_a_bound() -> None:
    """A flood from many addresses does not take the memory of the process."""
    windows = MemoryWindows(lambda: 0.0, max_subjects=100)
    for i in range(1_000):
        windows.admit_now((Limit("address", f"a{i}", 5),))
    assert len(windows) == 100


def test_headers_tell_of_the_limit_with_the_least_left() -> None:
    """`X-RateLimit-*` as the reference names them, `RateLimit` as the IETF draft does."""
    windows = MemoryWindows(lambda: 0.0)
    key, team = Limit("key", "k", 60), Limit("team", "t", 3)
    windows.admit_now((team,))
    headers = headers_of(windows.admit_now((key, team)))
    assert headers["X-RateLimit-Limit"] == "3"
    assert headers["X-RateLimit-Remaining"] == "1"
    assert headers["RateLimit-Policy"] == '"key";q=60;w=60, "team";q=3;w=60'
    assert headers["RateLimit"] == '"key";r=59;t=60, "team";r=1;t=60'
