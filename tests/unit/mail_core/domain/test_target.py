"""Two ways to write one target are one target; two targets stay two."""

import pytest

from services.mail_core.domain.target import canonical_target


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://a.example/u?t=1#top", "https://a.example/u?t=1"),  # a fragment never leaves the client
        ("mailto:Stop@A.example", "mailto:stop@a.example?subject=unsubscribe"),  # what is sent by default
        ("mailto:stop@a.example?subject=a%20b", "mailto:stop%40a.example?Subject=a b"),
    ],
)
def test_same_target_written_twice_is_one(first: str, second: str) -> None:
    """What would be sent is the same, so the target is."""
    assert canonical_target(first) == canonical_target(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://a.example/u?t=1", "https://a.example/u?t=2"),
        ("https://a.example/u", "https://a.example/u/"),  # a path is never normalised
        (
            "mailto:stop@a.example?subject=list-1",
            "mailto:stop@a.example?subject=list-2",
        ),  # one provider, two lists
        ("mailto:stop@a.example?body=x", "mailto:stop@a.example?body=y"),
    ],
)
def test_targets_that_differ_stay_apart(first: str, second: str) -> None:
    """Ending one list must not count for another."""
    assert canonical_target(first) != canonical_target(second)


def test_mailto_that_is_not_safe_stays_as_it_was_written() -> None:
    """It can be recognised and will never be used."""
    assert canonical_target("mailto:a@x?subject=%0d%0aBcc:%20b") == "mailto:a@x?subject=%0d%0aBcc:%20b"
