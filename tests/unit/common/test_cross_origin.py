"""What pages of other origins are told."""

import pytest

from services.common.cross_origin import CrossOrigin, is_origin, is_preflight
from services.common.errors import AppError

APP = "https://app.example.com"
LISTED = CrossOrigin(("POST",), ("X-API-Key",), ("Retry-After",), frozenset({APP}))
ANYONE = CrossOrigin(("GET",), ("Authorization",), ("Retry-After",))


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://evil.example",
        f"{APP}.evil.example",
        f"{APP}:8443",
        "http://app.example.com",
    ],
)
def test_only_a_listed_origin_reads_answers(origin: str | None) -> None:
    """Exactly; caches learn that the answer depends on who asks."""
    assert LISTED.headers(origin) == {"Vary": "Origin"}
    with pytest.raises(AppError) as caught:
        LISTED.preflight(origin)
    assert caught.value.reason == "ORIGIN_NOT_ALLOWED"


def test_a_listed_origin_is_named_and_told_what_it_may() -> None:
    """The origin itself and no star, and never with cookies."""
    told = LISTED.headers(APP) | LISTED.preflight(APP)
    assert told == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Expose-Headers": "Retry-After",
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "X-API-Key",
        "Access-Control-Max-Age": "600",
    }


def test_what_is_for_anyone_is_the_same_for_all() -> None:
    """A star, and nothing for caches to tell apart."""
    assert ANYONE.headers(None) == ANYONE.headers(APP)
    assert ANYONE.headers(APP)["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in ANYONE.headers(APP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (APP, True),
        ("http://localhost:6274", True),
        ("http://[::1]:6274", True),
        ("https://app.example.com:8443", True),
        ("https://app.example.com:443", False),  # browsers leave the usual port out
        ("http://app.example.com:80", False),
        ("https://app.example.com/", False),
        ("https://App.example.com", False),
        ("https://app.example.com:*", False),
        ("https://*.example.com", False),
        ("https://user@app.example.com", False),
        ("https://app.example.com:99999", False),
        ("app.example.com", False),
        ("https://ä.example.com", False),
        ("file:///x", False),
        ("null", False),
        ("*", False),
        ("", False),
    ],
)
def test_an_origin_is_what_browsers_write(text: str, *, expected: bool) -> None:
    """What can never match is refused at start."""
    assert is_origin(text) is expected


def test_a_preflight_names_origin_and_method() -> None:
    """Another OPTIONS is a request like any other (Fetch §3.2.2)."""
    asking = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    assert is_preflight("OPTIONS", asking)
    assert not is_preflight("POST", asking)
    assert not is_preflight("OPTIONS", {"Origin": APP})
    assert not is_preflight("OPTIONS", {"Access-Control-Request-Method": "POST"})
