"""What is believed of an issuer's answer about a token."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.introspected import IntrospectionRules, UnreadableAnswerError, accept_answer
from services.auth.domain.strict_json import read_object
from services.common.errors import AppError, Kind

NOW = 1_800_000_000.0
RULES = IntrospectionRules("https://idp.example", "https://mail.example/mcp", leeway_s=30)
GOOD = {
    "active": True,
    "iss": RULES.issuer,
    "aud": RULES.audience,
    "sub": "alice",
    "scope": "mail:scan unsubscribe:read",
    "exp": NOW + 300,
    "token_type": "Bearer",
}


def answer(**changes: Any) -> dict[str, Any]:
    """A good answer; a change to `...` leaves the member out."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def outcome(said: dict[str, Any]) -> str:
    try:
        accept_answer(said, RULES, NOW)
    except AppError as error:
        return error.reason if error.kind is Kind.UNAUTHENTICATED else f"NOT 401: {error.reason}"
    except UnreadableAnswerError:
        return "UNREADABLE"
    return "ACCEPTED"


def test_a_good_answer_names_a_person_their_scopes_and_an_end() -> None:
    """The issuer comes first in the name, so that two issuers' `alice` are two people."""
    found = accept_answer(answer(), RULES, NOW)
    assert found.principal == "https://idp.example#alice"
    assert found.scopes == {"mail:scan", "unsubscribe:read"}
    assert found.expires_at == NOW + 300


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"active": False}, "CREDENTIAL_INVALID"),
        ({"active": False, "sub": 5, "exp": "x"}, "CREDENTIAL_INVALID"),
        ({"active": ...}, "UNREADABLE"),
        ({"active": "true"}, "UNREADABLE"),
        ({"active": 1}, "UNREADABLE"),
        ({"active": None}, "UNREADABLE"),
        ({"iss": ...}, "ACCEPTED"),
        ({"iss": "https://idp.example/"}, "CREDENTIAL_INVALID"),
        ({"iss": ""}, "CREDENTIAL_INVALID"),
        ({"iss": None}, "UNREADABLE"),
        ({"aud": ...}, "TOKEN_AUDIENCE_REFUSED"),
        ({"aud": "https://mail.example/"}, "TOKEN_AUDIENCE_REFUSED"),
        ({"aud": "https://mail.example/mcp/"}, "TOKEN_AUDIENCE_REFUSED"),
        ({"aud": ["other", "https://mail.example/mcp"]}, "ACCEPTED"),
        ({"aud": []}, "TOKEN_AUDIENCE_REFUSED"),
        ({"aud": [5, "https://mail.example/mcp"]}, "UNREADABLE"),
        ({"aud": {"https://mail.example/mcp": 1}}, "UNREADABLE"),
        ({"sub": ...}, "CREDENTIAL_INVALID"),
        ({"sub": ""}, "CREDENTIAL_INVALID"),
        ({"sub": "x" * 256}, "CREDENTIAL_INVALID"),
        ({"sub": "a\nb"}, "CREDENTIAL_INVALID"),
        ({"sub": 5}, "UNREADABLE"),
        ({"token_type": ...}, "ACCEPTED"),
        ({"token_type": "bearer"}, "ACCEPTED"),
        ({"token_type": "DPoP"}, "TOKEN_TYPE_REFUSED"),
        ({"token_type": "refresh_token"}, "TOKEN_TYPE_REFUSED"),
        ({"token_type": 1}, "UNREADABLE"),
        ({"cnf": {"jkt": "x"}}, "TOKEN_TYPE_REFUSED"),
        ({"cnf": None}, "TOKEN_TYPE_REFUSED"),
        ({"exp": ...}, "ACCEPTED"),
        ({"exp": NOW - 29}, "ACCEPTED"),
        ({"exp": NOW - 30}, "TOKEN_EXPIRED"),
        ({"exp": str(NOW + 300)}, "UNREADABLE"),
        ({"exp": True}, "UNREADABLE"),
        ({"exp": None}, "UNREADABLE"),
        ({"exp": float("nan")}, "UNREADABLE"),
        ({"exp": float("inf")}, "UNREADABLE"),
        ({"exp": 10**400}, "UNREADABLE"),
        ({"nbf": NOW + 30}, "ACCEPTED"),
        ({"nbf": NOW + 31}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": "0"}, "UNREADABLE"),
        ({"scope": ...}, "ACCEPTED"),
        ({"scope": ["mail:scan"]}, "UNREADABLE"),
        ({"scope": None}, "UNREADABLE"),
    ],
)
def test_every_member_is_read_strictly(changes: dict[str, Any], wanted: str) -> None:
    """What is wrong with the token is a refusal; what is wrong with the answer is the issuer's failure."""
    assert outcome(answer(**changes)) == wanted


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        (..., set()),
        ("", set()),
        ("openid profile", set()),
        ("team:admin mail:scan", {"mail:scan"}),
        ("MAIL:SCAN mail:scan,unsubscribe:read", set()),
    ],
)
def test_a_scope_that_we_do_not_know_grants_nothing(scope: Any, held: set[str]) -> None:
    """Nor does one that no token may hold: it could make credentials."""
    assert accept_answer(answer(scope=scope), RULES, NOW).scopes == held


@pytest.mark.promise("revocation.bounded")
def test_a_token_that_ends_now_ends_after_the_leeway() -> None:
    """As a JWT does: clocks differ."""
    assert accept_answer(answer(exp=NOW - 10), RULES, NOW).expires_at == NOW + 20


MEMBERS = st.sampled_from([*GOOD, "nbf", "cnf", "iat", "client_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(MEMBERS, JSON))
def test_no_answer_of_any_shape_breaks_the_reader(changes: dict[str, Any]) -> None:
    """Accepted, refused or unreadable; and accepted only with what must be there."""
    said = {**GOOD, **changes}
    if outcome(said) == "ACCEPTED":
        assert said["active"] is True
        assert said["iss"] == RULES.issuer
        assert RULES.audience in said["aud"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(content: bytes) -> None:
    """An object, or ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(read_object(content), dict)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'{"active":true,"active":false}', b'{"exp":NaN}', b"[" * 100_000, b"\xff", b"{}x"],
)
def test_json_that_two_readers_might_read_differently_is_none(content: bytes) -> None:
    """RFC 8725 §2.4."""
    with pytest.raises(ValueError):  # noqa: PT011  that it is one is all that callers rely on
        read_object(content)


def test_a_good_answer_survives_its_way_through_json() -> None:
    """What issuers send is what was tested above."""
    assert outcome(read_object(json.dumps(GOOD).encode())) == "ACCEPTED"
