"""What clients send: read in one way or not at all."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.oauth.domain.clients import MAX_NAME_CHARS, client_of_metadata, read_json_object
from services.auth.oauth.domain.errors import OAuthError
from services.auth.oauth.domain.parameters import MAX_CHARS, Parameters
from services.auth.oauth.domain.pkce import challenge_of, is_challenge, proves
from services.auth.oauth.domain.requests import check_asked
from services.auth.oauth.domain.resources import Resources
from services.auth.oauth.domain.scopes import GRANTABLE, WORDS, in_order, requested_scopes
from services.auth.oauth.http.reading import _parameters

VERIFIERS = st.text(alphabet="abcXYZ019-._~", min_size=43, max_size=128)
SCOPES = st.frozensets(st.sampled_from(sorted(WORDS)))
PRINTABLE = st.text(
    alphabet=st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    max_size=50,
)

NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
REQUESTS = st.dictionaries(
    st.sampled_from(
        ["response_type", "code_challenge", "code_challenge_method", "scope", "resource", "response_mode"]
    ),
    PRINTABLE | st.sampled_from(["code", "S256", "A" * 43, "mail:scan", "plain", "query"]),
)


def code_of(work: object, *arguments: object) -> str:
    try:
        work(*arguments)  # type: ignore[operator]
    except OAuthError as error:
        return error.code
    return ""


@given(st.dictionaries(NAMES, PRINTABLE, max_size=20))
def test_what_was_written_is_read(values: dict[str, str]) -> None:
    """An empty value counts as absent (RFC 6749 §3.1)."""
    read = _parameters(urlencode(values))
    assert read.values == {name: value for name, value in values.items() if value}


@given(NAMES, PRINTABLE, PRINTABLE)
def test_a_name_that_comes_twice_is_refused(name: str, one: str, other: str) -> None:
    """Also when both values are the same, or empty: two readers could choose differently."""
    assert code_of(_parameters, urlencode([(name, one), (name, other)])) == "invalid_request"


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    """No other error, whatever the bytes."""
    text = raw.decode("latin-1")
    assert code_of(_parameters, text) in {"", "invalid_request"}


@pytest.mark.parametrize(
    "text",
    [
        "a=%00",
        "a=%0d%0aSet-Cookie",
        "a=%7f",
        "a=%ff",
        "a=" + "x" * (MAX_CHARS + 1),
        "&".join(f"p{number}=1" for number in range(65)),
        "token=" + "x" * 8_193,
    ],
)
def test_what_is_too_long_too_much_or_unprintable_is_refused(text: str) -> None:
    """Bounded before anything is done with it."""
    assert code_of(_parameters, text) == "invalid_request"


@given(VERIFIERS)
def test_a_verifier_proves_its_own_challenge(verifier: str) -> None:
    """S256, RFC 7636 §4.6."""
    challenge = challenge_of(verifier)
    assert is_challenge(challenge)
    assert proves(verifier, challenge)


@given(VERIFIERS, VERIFIERS)
def test_no_verifier_proves_anothers(one: str, other: str) -> None:
    """Nor does the challenge prove itself, which is what `plain` would be."""
    assert proves(one, challenge_of(other)) is (one == other)
    assert not proves(challenge_of(one), challenge_of(one))


@given(st.text(max_size=140))
def test_only_what_the_rfc_calls_a_verifier_is_one(text: str) -> None:
    """43 to 128 of its characters, even when the hash would fit."""
    is_one = 43 <= len(text) <= 128 and all(c.isascii() and (c.isalnum() or c in "-._~") for c in text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert proves(text, challenge_of(text)) is is_one


@given(SCOPES, SCOPES)
def test_nobody_gets_a_scope_that_was_not_both_asked_for_and_allowed(
    asked: frozenset[str], allowed: frozenset[str]
) -> None:
    """The intersection; nothing left is an error, nothing asked is all that is allowed."""
    expected = (asked & allowed) if asked else allowed
    text = " ".join(sorted(asked))
    if expected:
        assert requested_scopes(text, allowed) == expected
    else:
        assert code_of(requested_scopes, text, allowed) == "invalid_scope"
    assert frozenset(in_order(asked)) == asked


@given(st.text(max_size=60), st.frozensets(st.text(max_size=20)))
def test_whatever_is_asked_only_known_scopes_come_of_it(text: str, allowed: frozenset[str]) -> None:
    """`team:admin` never: whoever holds it can make keys."""
    wanted = allowed | {"team:admin"}
    if code_of(requested_scopes, text, wanted) == "invalid_scope":
        return
    found = requested_scopes(text, wanted)
    assert found <= GRANTABLE & allowed
    assert "team:admin" not in found


@given(REQUESTS)
def test_a_request_without_s256_never_passes(values: dict[str, str]) -> None:
    """PKCE is not optional and `plain` is not offered (OAuth 2.1 §7.5.2)."""
    resources = Resources(("https://r.example",))
    if code_of(check_asked, Parameters(values), resources):
        return
    challenge, resource, scopes = check_asked(Parameters(values), resources)
    assert values["code_challenge_method"] == "S256"
    assert is_challenge(challenge)
    assert resource == "https://r.example"
    assert scopes <= GRANTABLE


@pytest.mark.parametrize(
    ("named", "chosen"),
    [
        ("", "https://one.example/mcp"),
        ("https://one.example/mcp", "https://one.example/mcp"),
        ("https://one.example/mcp/", "https://one.example/mcp"),
        ("https://two.example", "https://two.example"),
        ("https://one.example", None),
        ("https://one.example/mcp?x", None),
        ("https://one.example/MCP", None),
        ("https://evil.example", None),
    ],
)
def test_tokens_are_made_for_our_resources_only(named: str, chosen: str | None) -> None:
    """RFC 8707 §2; a trailing slash is the one difference that is none."""
    resources = Resources(("https://one.example/mcp", "https://two.example"))
    if chosen is None:
        assert code_of(resources.choose, named) == "invalid_target"
    else:
        assert resources.choose(named) == chosen


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("client_name", "redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_metadata_of_any_shape_makes_a_fit_client_or_a_typed_refusal(said: dict[str, object]) -> None:
    """RFC 7591 §3.2.2: wrong types, wrong depth, anything."""
    refusal = code_of(client_of_metadata, "mc_x", said)
    assert refusal in {"", "invalid_client_metadata", "invalid_redirect_uri"}
    if not refusal:
        assert 1 <= len(client_of_metadata("mc_x", said).redirect_uris) <= 10


@given(st.text(max_size=200))
def test_a_clients_name_is_one_short_line_that_people_can_see(name: str) -> None:
    """No control characters, no turning of the reading direction, no line breaks."""
    client = client_of_metadata("mc_x", {"client_name": name, "redirect_uris": ["https://a.example/cb"]})
    assert 1 <= len(client.name) <= MAX_NAME_CHARS
    assert client.name.isprintable()
    assert client.name == client.name.strip()


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_typed_refusal(body: bytes) -> None:
    """Nested too deeply included."""
    assert code_of(read_json_object, body) in {"", "invalid_client_metadata"}
    assert code_of(read_json_object, b"[" * 100_000) == "invalid_client_metadata"
