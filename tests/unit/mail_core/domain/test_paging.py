"""Page tokens go with the listing that gave them, and nothing else passes for one."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.errors import DomainError
from services.mail_core.domain.paging import page_size_of, read_token, write_token


@pytest.mark.parametrize(("asked", "used"), [(0, 50), (1, 1), (200, 200)])
def test_a_page_has_its_default_size(asked, used):
    """Unset means 50."""
    assert page_size_of(asked) == used


@pytest.mark.parametrize("asked", [-1, 201])
def test_a_page_size_out_of_range_is_refused(asked):
    """Never more than 200."""
    with pytest.raises(DomainError) as caught:
        page_size_of(asked)
    assert caught.value.reason == "PAGE_SIZE_OUT_OF_RANGE"


def test_a_token_gives_its_position_back():
    """To the listing that wrote it; no token is the first page."""
    token = write_token("subscriptions", (7, "abc"))
    assert read_token(token, "subscriptions", (int, str)) == [7, "abc"]
    assert read_token("", "subscriptions", (int, str)) is None


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        write_token("attempts", (7, "abc")),  # of another listing
        write_token("subscriptions", (7,)),  # too short
        write_token("subscriptions", ("7", "abc")),  # of another type
        write_token("subscriptions", (True, "abc")),  # a bool is no number
        encoded({"subscriptions": 7}),
        encoded("subscriptions"),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        "not base64!",
        "é",
        "a",
    ],
)
def test_another_token_is_refused(token):
    """Made up, damaged, or from elsewhere."""
    with pytest.raises(DomainError) as caught:
        read_token(token, "subscriptions", (int, str))
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@given(st.text())
def test_reading_a_token_never_fails_in_another_way(token):
    """Whatever a caller sends."""
    with suppress(DomainError):
        assert read_token(token, "subscriptions", (int, str)) is None
