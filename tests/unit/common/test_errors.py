"""The one error: its table is whole, and it is the same after a journey over gRPC."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from services.common import errors
from services.common.errors import BY_GRPC_CODE, TABLE, AppError, FieldError, Kind
from services.common.grpc_status import from_rpc_error, to_status

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
REASON = st.from_regex(r"[A-Z][A-Z0-9_]{2,30}", fullmatch=True)


def on_the_wire(status: status_pb2.Status) -> aio.AioRpcError:
    """What a client's gRPC library raises for a status."""
    sent: Any = rpc_status.to_status(status)
    return aio.AioRpcError(sent.code, aio.Metadata(), aio.Metadata(*sent.trailing_metadata), sent.details)


def bare(code: grpc.StatusCode, details: str = "") -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), details)


def facts(error: AppError) -> tuple[object, ...]:
    return (error.kind, error.reason, error.message, error.fields, error.metadata)


@pytest.mark.promise("errors.one-table")
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_every_column(kind: Kind) -> None:
    """No kind can reach an edge that does not know how to say it."""
    mapped = TABLE[kind]
    assert mapped.title
    assert 400 <= mapped.http_status < 600
    assert mapped.a2a_code < 0


@pytest.mark.parametrize("kind", Kind)
def test_the_grpc_column_is_googles_own(kind: Kind) -> None:
    """google/rpc/code.proto gives the numbers; names are the same in it, in gRPC and here."""
    number = TABLE[kind].grpc_code
    assert number == code_pb2.Code.Value(kind.value)
    assert number == grpc.StatusCode[kind.value].value[0]
    assert BY_GRPC_CODE[number] is kind


def test_the_http_column_is_that_of_the_code_proto() -> None:
    """The mapping that google/rpc/code.proto prints beside each code."""
    assert {kind.value: TABLE[kind].http_status for kind in Kind} == {
        "INVALID_ARGUMENT": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "FAILED_PRECONDITION": 400,
        "RESOURCE_EXHAUSTED": 429,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
        "CANCELLED": 499,
        "UNIMPLEMENTED": 501,
        "INTERNAL": 500,
    }


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    """A client that repeats anything else would repeat a mistake."""
    assert {kind.name for kind in Kind if TABLE[kind].retryable} == {
        "ABORTED",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
    }


ERRORS = st.builds(
    AppError,
    st.sampled_from(Kind),
    REASON,
    TEXT,
    retry_after_s=st.none() | st.floats(0, 1e6),
    fields=st.lists(st.builds(FieldError, TEXT, REASON, TEXT), max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
)


@pytest.mark.promise("errors.one-table")
@given(ERRORS)
def test_an_error_is_the_same_after_a_journey(sent: AppError) -> None:
    """Kind, reason, message, fields, metadata, and the waiting time to the microsecond."""
    got = from_rpc_error(on_the_wire(to_status(sent)), "mail_core")
    assert facts(got) == facts(sent)
    wait_s = sent.retry_after_s
    assert got.retry_after_s == (None if wait_s is None else pytest.approx(wait_s, abs=1e-6))


@pytest.mark.promise("errors.bare")
@pytest.mark.parametrize("code", grpc.StatusCode)
def test_words_of_the_transport_never_become_ours(code: grpc.StatusCode) -> None:
    """What gRPC itself says about a failure stays inside."""
    error = from_rpc_error(bare(code, "ipv4:10.0.0.1:443: planted-secret"), "mail_core")
    assert "planted-secret" not in f"{error} {error.message} {error.metadata} {error.fields}"
    assert "10.0.0.1" not in f"{error} {error.message}"


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Kind.UNAVAILABLE, "MAIL_CORE_DOWN"),  # nobody listens
        (grpc.StatusCode.DEADLINE_EXCEEDED, Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.UNIMPLEMENTED, Kind.UNIMPLEMENTED, "UNIMPLEMENTED"),  # an older backend
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Kind.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"),  # too large
        (grpc.StatusCode.UNKNOWN, Kind.INTERNAL, "INTERNAL"),  # a handler's stray exception
        (grpc.StatusCode.INTERNAL, Kind.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, Kind.INTERNAL, "INTERNAL"),  # a code that we do not use
    ],
)
def test_what_the_transport_raises_is_typed(code: grpc.StatusCode, kind: Kind, reason: str) -> None:
    """A dead peer is named, so that a person knows which."""
    error = from_rpc_error(bare(code), "mail_core")
    assert (error.kind, error.reason) == (kind, reason)


def test_errors_of_another_domain_are_not_taken_for_ours() -> None:
    """A proxy's ErrorInfo carries reasons that we never documented."""
    status = to_status(AppError(Kind.NOT_FOUND, "PLANTED", "planted"))
    info = error_details_pb2.ErrorInfo(reason="PLANTED", domain="proxy.example")
    status.details[0].Pack(info)
    assert from_rpc_error(on_the_wire(status), "auth").reason == "NOT_FOUND"


def test_details_that_contradict_their_code_are_not_believed() -> None:
    """gRPC's own reader refuses them with an exception, which must not reach a caller."""
    status = to_status(AppError(Kind.NOT_FOUND, "MAILBOX_NOT_FOUND", "No."))
    sent: Any = rpc_status.to_status(status)
    error = aio.AioRpcError(
        grpc.StatusCode.INTERNAL, aio.Metadata(), aio.Metadata(*sent.trailing_metadata), "x"
    )
    assert from_rpc_error(error, "auth").kind is Kind.INTERNAL


def test_unknown_details_are_passed_over() -> None:
    """A newer peer may add a kind of detail."""
    status = to_status(AppError(Kind.NOT_FOUND, "MAILBOX_NOT_FOUND", "No."))
    status.details.append(any_pb2.Any(type_url="type.googleapis.com/x.Y", value=b"?"))
    assert from_rpc_error(on_the_wire(status), "auth").reason == "MAILBOX_NOT_FOUND"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: errors.invalid("R", "m", field="f"), Kind.INVALID_ARGUMENT),
        (lambda: errors.not_found("R", "m"), Kind.NOT_FOUND),
        (lambda: errors.unauthenticated("R", "m"), Kind.UNAUTHENTICATED),
        (lambda: errors.denied("R", "m", scope="s"), Kind.PERMISSION_DENIED),
        (lambda: errors.precondition("R", "m"), Kind.FAILED_PRECONDITION),
        (lambda: errors.unavailable("R", "m"), Kind.UNAVAILABLE),
        (lambda: errors.exhausted("R", "m", retry_after_s=2), Kind.RESOURCE_EXHAUSTED),
        (errors.deadline_exceeded, Kind.DEADLINE_EXCEEDED),
        (errors.internal, Kind.INTERNAL),
    ],
)
def test_each_maker_makes_its_kind(make: Callable[[], AppError], kind: Kind) -> None:
    """The short names for what is raised most."""
    assert make().kind is kind


def test_a_field_is_named_only_when_there_is_one() -> None:
    """An empty list of fields means that no single field is at fault."""
    assert errors.invalid("R", "m").fields == ()
    assert errors.invalid("R", "m", field="a.b").fields == (FieldError("a.b", "R", "m"),)
