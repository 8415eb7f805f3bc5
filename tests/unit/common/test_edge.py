"""How a request enters: which credential, which id, which trace."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.client_address import Peer
from services.common.context import current_call, request_id_from
from services.common.edge import Gate, Headers, credential_of
from services.common.errors import AppError
from services.common.passports import MAX_CREDENTIAL_CHARS, Credential
from services.common.tracing import current_trace
from tests.fakes.auth_channel import AuthChannel
from tests.fakes.gates import gate_of

LONGEST = "x" * MAX_CREDENTIAL_CHARS


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-API-Key": ""}, None),
        ({"Authorization": ""}, None),
        ({"X-API-Key": "k"}, Credential("api_key", "k")),
        ({"Authorization": "Bearer t"}, Credential("bearer", "t")),
        ({"Authorization": "bearer t"}, Credential("bearer", "t")),  # RFC 9110 §11.1: any case
        ({"Authorization": "BEARER   t"}, Credential("bearer", "t")),
        ({"X-API-Key": "", "Authorization": "Bearer t"}, Credential("bearer", "t")),
        ({"X-API-Key": LONGEST}, Credential("api_key", LONGEST)),
        ({"X-API-Key": "k", "Authorization": "Bearer t"}, "CREDENTIAL_AMBIGUOUS"),
        ({"X-API-Key": "k", "Authorization": "Bearer k"}, "CREDENTIAL_AMBIGUOUS"),
        ({"X-API-Key": "k", "Authorization": "Basic x"}, "CREDENTIAL_AMBIGUOUS"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer "}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearert"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "t"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer a b"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "a b"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "a\x00"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "a\r\nX-Other: b"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "a\x7f"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "clé"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": LONGEST + "x"}, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer " + LONGEST + "x"}, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "x" * 10_000_000}, "CREDENTIAL_INVALID"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_has_one_credential_or_none(headers: Mapping[str, str], expected: object) -> None:
    """RFC 6750 §2.1 and the runbook's header; two credentials are never chosen between."""
    assert outcome(headers) == expected


def outcome(headers: Mapping[str, str]) -> object:
    try:
        return credential_of(headers)
    except AppError as error:
        return error.reason


@pytest.mark.parametrize(
    "pairs",
    [
        [("X-API-Key", "k"), ("X-API-Key", "k")],
        [("X-API-Key", "k"), ("x-api-key", "")],
        [("Authorization", "Bearer t"), ("authorization", "Bearer t")],
        [("Authorization", "Bearer t"), ("Authorization", "Basic x")],
    ],
)
def test_a_credential_that_is_sent_twice_is_none(pairs: list[tuple[str, str]]) -> None:
    """A proxy and an edge, or two edges, could choose differently between them."""
    assert outcome(Headers(pairs)) == "CREDENTIAL_INVALID"


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_header_breaks_the_reader_or_is_repeated(api_key: str, authorization: str) -> None:
    """Whatever a client sends, the error holds none of it."""
    said = ""
    try:
        credential_of({"X-API-Key": "planted" + api_key, "Authorization": authorization})
    except AppError as error:
        said = f"{error}{error.metadata}{error.fields}"
    assert "planted" not in said


@pytest.mark.parametrize("text", ["r-1", "A.b_c:9", "x" * 128])
def test_a_harmless_request_id_is_kept(text: str) -> None:
    """So that a client finds its own id in our answers and logs."""
    assert request_id_from(text) == text


@pytest.mark.parametrize("text", [None, "", "x" * 129, "a b", "a\n", "a\r\nb: c", "é", "<b>", '"', "a/b"])
def test_any_other_request_id_is_replaced(text: str | None) -> None:
    """It would end up in headers and logs."""
    made = request_id_from(text)
    assert made != text
    assert len(made) == 32
    assert made != request_id_from(text)


NOBODY = Peer()


@pytest.fixture
def gate() -> Gate:
    return gate_of(AuthChannel(lambda: 0.0))


async def test_inside_the_gate_the_request_is_known(gate: Gate) -> None:
    """Id, deadline, trace and passport go along with the task, and end with it."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-Id": "r-1", "X-API-Key": "k", "traceparent": f"00-{trace}-00f067aa0ba902b7-00"}
    with gate.admit(headers, "GET /v1/me", NOBODY) as admission:
        call, seen = current_call(), current_trace()
        assert (await admission.authenticate()).principal == "key:1"
    assert call is not None
    assert call.passport_for is not None
    assert call.request_id == admission.request_id == "r-1"
    assert 29 < (call.time_left_s() or 0) <= 30
    assert seen is not None
    assert seen.trace_id_hex == trace
    assert (current_call(), current_trace()) == (None, None)
    assert await call.passport_for("mail_core") == "passport-1"


async def test_a_stream_that_stays_open_has_no_deadline(gate: Gate) -> None:
    """Its calls bring their own."""
    with gate.admit({}, "GET /events", NOBODY, has_deadline=False) as admission:
        assert admission.call.time_left_s() is None


async def test_a_malformed_credential_fails_when_it_is_needed(gate: Gate) -> None:
    """Health checks with stray headers are answered."""
    with gate.admit({"Authorization": "Basic x"}, "GET /health", NOBODY) as admission:
        with pytest.raises(AppError) as caught:
            await admission.authenticate()
        assert caught.value.reason == "CREDENTIAL_INVALID"


@pytest.mark.promise("teams.requests")
async def test_requests_at_the_same_time_do_not_see_each_other(gate: Gate) -> None:
    """The context belongs to the task."""
    both_inside = asyncio.Barrier(2)

    async def serve(name: str) -> str:
        with gate.admit({"X-Request-Id": name}, "GET /", NOBODY):
            await both_inside.wait()
            call = current_call()
            return call.request_id if call else ""

    async with asyncio.timeout(5):
        assert await asyncio.gather(serve("a"), serve("b")) == ["a", "b"]
