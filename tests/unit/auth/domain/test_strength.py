"""Made-up secrets are told from drawn ones."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.strength import weakness_of


@pytest.mark.parametrize(
    "secret",
    [
        "", "short", "x" * 64, "ab" * 32, "abc" * 20, "0123456789" * 5, "changeme" * 8, "change-me-" * 6,
        "your-api-key-your-api-key-your-api-key", "super-secret-jwt-secret-password",
        "abcdefghijklmnopqrstuvwxyz012345", "zyxwvutsrqponmlkjihgfedcba987654",
        "CHANGEME-CHANGEME-CHANGEME-CHANGEME", "aaaaaaaabbbbbbbbccccccccdddddddd",
        "correcthorse" * 4, "ééééééééééééééééééééééé",
    ],
)  # fmt: skip
def test_what_a_person_types_is_refused(secret: str) -> None:
    """Long is not enough."""
    assert weakness_of(secret, min_bytes=32)


@pytest.mark.parametrize("draw", [secrets.token_hex, secrets.token_urlsafe])
def test_what_a_machine_draws_is_accepted(draw: object) -> None:
    """No false alarm in a thousand draws of either alphabet."""
    assert [weakness_of(draw(32), min_bytes=32) for _ in range(1_000)] == [None] * 1_000  # type: ignore[operator]


def test_a_name_before_a_drawn_secret_does_no_harm() -> None:
    """Words are left out of account, not forbidden."""
    assert weakness_of(f"mailwarden-secret-{secrets.token_hex(24)}", min_bytes=32) is None


@given(st.text(max_size=60))
def test_the_reason_never_quotes_the_secret(secret: str) -> None:
    """The reason goes to the terminal and the log."""
    reason = weakness_of(secret, min_bytes=24)
    assert reason is None or reason in {
        "is shorter than 24 bytes", "is made of well-known words", "has too few different characters",
        "repeats itself", "counts up or down",
    }  # fmt: skip
