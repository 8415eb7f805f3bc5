"""What a JWT must look like and must say before anybody is believed (RFC 7519, RFC 8725)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.token import SignedToken, TokenRules, TokenSubject, accept_claims, parse_token
from services.common.errors import AppError
from tests.fakes.tokens import AUDIENCE, ISSUER, NOW, b64, claims, hs256

RULES = TokenRules(ISSUER, AUDIENCE, leeway_s=30)


def accepted(rules: TokenRules = RULES, **changes: Any) -> TokenSubject:
    return accept_claims(json.dumps(claims(**changes)).encode(), rules, NOW)


def refusal_of(rules: TokenRules = RULES, **changes: Any) -> str:
    with pytest.raises(AppError) as caught:
        accepted(rules, **changes)
    return caught.value.reason


def outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except AppError as error:
        return error.reason
    return "ACCEPTED"


def parse_refusal(text: str) -> str:
    with pytest.raises(AppError) as caught:
        parse_token(text)
    return caught.value.reason


def test_a_good_token_names_issuer_and_subject() -> None:
    """The principal is unique across issuers."""
    assert accepted() == TokenSubject(f"{ISSUER}#alice", frozenset({"mail:scan"}), NOW + 300, NOW)


def test_without_a_configured_issuer_the_principal_is_plain() -> None:
    """An issuer that was not pinned is not believed either."""
    assert accepted(TokenRules(audience=AUDIENCE), iss="https://anybody/").principal == "jwt#alice"


def test_parsing_keeps_the_exact_bytes_that_were_signed() -> None:
    """What is verified is what was received, not what we would have written."""
    text = hs256({"sub": "a"}, header={"alg": "HS256", "kid": "k", "typ": "JWT"})
    token = parse_token(text)
    assert isinstance(token, SignedToken)
    assert (token.algorithm, token.key_id) == ("HS256", "k")
    assert token.signed.decode() == text.rpartition(".")[0]
    assert token.payload == b'{"sub": "a"}'


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_types_for_api_access_are_accepted(typ: str | None) -> None:
    """RFC 9068 names at+jwt; case and the application/ prefix do not matter (RFC 7515 §4.1.9)."""
    header = {"alg": "HS256"} if typ is None else {"alg": "HS256", "typ": typ}
    assert parse_token(hs256(claims(), header=header)).algorithm == "HS256"


@pytest.mark.parametrize(
    "typ",
    [
        "passport+jwt",
        "application/passport+jwt",
        "Passport+JWT",
        "dpop+jwt",
        "logout+jwt",
        "",
        None,
        1,
        ["JWT"],
    ],
)
def test_any_other_type_is_refused_by_name(typ: Any) -> None:
    """A token made for one purpose opens no other door (RFC 8725 §3.11)."""
    assert parse_refusal(hs256(claims(), header={"alg": "HS256", "typ": typ})) == "TOKEN_TYPE_REFUSED"


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "...", "a.b.c", "a.b.c.d.e", " a.b.c", "a.b.c\n", "é.b.c", "a" * 9_000,
        f"{b64('null')}.e30.x", f"{b64('[]')}.e30.x", f"{b64('7')}.e30.x", f"{b64('{')}.e30.x",
        f"{b64({'alg': 7})}.e30.xx", f"{b64({})}.e30.xx",
        f"{b64({'alg': 'HS256', 'kid': 7})}.e30.xx",
        f"{b64({'alg': 'HS256', 'kid': 'k' * 300})}.e30.xx",
        f"{b64({'alg': 'HS256', 'kid': 'a' + chr(0) + 'b'})}.e30.xx",
        f"{b64({'alg': 'HS256', 'crit': ['exp']})}.e30.xx",
        f"{b64({'alg': 'HS256', 'crit': []})}.e30.xx",
        b64('{"alg": "none", "alg": "HS256"}') + ".e30.xx",
        b64(bytes([255, 254])) + ".e30.xx",
        f"{b64('[' * 4_000)}.e30.xx",
    ],
)  # fmt: skip
def test_malformed_tokens_are_refused_alike(text: str) -> None:
    """Whatever is wrong with the form, the answer is the same."""
    assert parse_refusal(text) == "CREDENTIAL_INVALID"


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a token or a typed refusal."""
    assert outcome(lambda: parse_token(text)) in {"CREDENTIAL_INVALID", "TOKEN_TYPE_REFUSED", "ACCEPTED"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "scp"]), json_values)
)
def test_no_claims_break_the_reader(said: dict[str, Any]) -> None:
    """An issuer may write anything; we answer with a reason, never with a crash."""
    payload = json.dumps({**claims(), **said}).encode()
    reason = outcome(lambda: accept_claims(payload, RULES, NOW))
    assert reason in {"CREDENTIAL_INVALID", "TOKEN_EXPIRED", "TOKEN_NOT_YET_VALID", "ACCEPTED"}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other/"}, {"iss": None}, {"iss": [ISSUER]}, {"iss": ISSUER.rstrip("/")},
        {"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": {"mailwarden": 1}}, {"aud": AUDIENCE.upper()},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "a" * 256}, {"sub": "a\nb"}, {"sub": "\ud800"},
        {"exp": None}, {"exp": "1900000000"}, {"exp": True}, {"exp": float("inf")}, {"exp": float("nan")},
        {"exp": 1e400}, {"exp": 10**400}, {"exp": [NOW + 5]}, {"nbf": "soon"}, {"iat": {}}, {"iat": False},
    ],
)  # fmt: skip
def test_wrong_or_missing_claims_are_refused_alike(changes: dict[str, Any]) -> None:
    """Nobody learns which claim was wrong."""
    assert refusal_of(**changes) == "CREDENTIAL_INVALID"


def test_a_wrong_issuer_is_not_told_that_the_token_has_also_expired() -> None:
    """Times are told only to tokens that are ours in every other way."""
    assert refusal_of(iss="https://other/", exp=NOW - 900) == "CREDENTIAL_INVALID"


def test_one_audience_of_several_is_enough() -> None:
    """RFC 7519 §4.1.3."""
    assert accepted(aud=["other", AUDIENCE]).principal == f"{ISSUER}#alice"


def test_a_token_for_an_audience_is_refused_when_we_have_no_name() -> None:
    """An audience that was not configured is not a check that may be skipped."""
    assert refusal_of(TokenRules(ISSUER), aud="anybody") == "CREDENTIAL_INVALID"
    assert accepted(TokenRules(ISSUER), aud=None).principal == f"{ISSUER}#alice"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW - 30}, "TOKEN_EXPIRED"),
        ({"exp": -1}, "TOKEN_EXPIRED"),
        ({"nbf": NOW + 31}, "TOKEN_NOT_YET_VALID"),
        ({"iat": NOW + 31}, "TOKEN_NOT_YET_VALID"),
    ],
)
def test_times_outside_the_leeway_are_refused(changes: dict[str, Any], reason: str) -> None:
    """The documented reasons, for tokens that are otherwise good."""
    assert refusal_of(**changes) == reason


@pytest.mark.parametrize("changes", [{"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW + 29.5}])
def test_clocks_may_differ_by_the_leeway(changes: dict[str, Any]) -> None:
    """Skew is tolerated, and bounded."""
    assert accepted(**changes).scopes == {"mail:scan"}


def test_a_token_inside_the_leeway_ends_when_the_leeway_does() -> None:
    """Otherwise its passport would be dead on arrival."""
    assert accepted(exp=NOW - 10).expires_at == NOW + 20
    assert accepted(exp=NOW + 10).expires_at == NOW + 10


@pytest.mark.parametrize(
    "payload", ['{"exp": 1, "exp": 1900000000}', '{"sub": "a", "sub": "b"}', "[]", "1", "", "{"]
)
def test_a_payload_that_two_readers_could_read_differently_is_refused(payload: str) -> None:
    """RFC 8725 §2.4."""
    with pytest.raises(AppError) as caught:
        accept_claims(payload.encode(), RULES, NOW)
    assert caught.value.reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize(
    ("said", "granted"),
    [
        ({"scope": "mail:scan unsubscribe:read"}, {"mail:scan", "unsubscribe:read"}),
        ({"scope": None, "scopes": ["mail:scan"]}, {"mail:scan"}),
        ({"scope": None, "scp": ["unsubscribe:digest", 7, None]}, {"unsubscribe:digest"}),
        ({"scope": None, "scp": "availability:read"}, {"availability:read"}),
        ({"scope": "admin MAIL:SCAN mail:scan,unsubscribe:read *"}, set()),
        ({"scope": None}, set()),
        ({"scope": 7}, set()),
        ({"scope": {"mail:scan": True}}, set()),
    ],
)
def test_only_known_scopes_that_are_plainly_named_are_granted(
    said: dict[str, Any], granted: set[str]
) -> None:
    """What we cannot read grants nothing."""
    assert accepted(**said).scopes == granted
