"""Errors as problem documents."""

import pytest

from services.common.errors import AppError, FieldError, Kind
from services.common.problem import HttpError, method_not_allowed, problem_of


def shown(error: AppError) -> dict[str, object]:
    return problem_of(error, request_id="r1", instance="/v1/x").body


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_reads_as_a_problem(kind: Kind) -> None:
    """RFC 9457 §3.1, with our reason and the request id."""
    error = AppError(kind, "SOME_REASON", "Words.")
    problem = problem_of(error, request_id="r1", instance="/v1/x")
    assert problem.status == error.mapped.http_status
    assert problem.body == {
        "type": "https://mailwarden.dev/problems/some-reason",
        "title": error.mapped.title,
        "status": problem.status,
        "detail": "Words.",
        "instance": "/v1/x",
        "reason": "SOME_REASON",
        "request_id": "r1",
    }


def test_fields_are_listed() -> None:
    """Each with its own reason."""
    error = AppError(Kind.INVALID_ARGUMENT, "A", "m", fields=(FieldError("a.0", "B", "n"),))
    assert shown(error)["errors"] == [{"field": "a.0", "reason": "B", "message": "n"}]


@pytest.mark.parametrize(("wait_s", "header"), [(0, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (60, "60")])
def test_waiting_is_told_in_whole_seconds_rounded_up(wait_s: float, header: str) -> None:
    """RFC 9110 §10.2.3; a client that waits as told never comes too early."""
    error = AppError(Kind.RESOURCE_EXHAUSTED, "A", "m", retry_after_s=wait_s)
    problem = problem_of(error, request_id="", instance="")
    assert problem.headers == {"Retry-After": header}
    assert problem.body["retry_after_s"] == wait_s


def test_a_401_says_how_to_authenticate() -> None:
    """RFC 9110 §15.5.2 demands the challenge."""
    error = AppError(Kind.UNAUTHENTICATED, "A", "m")
    problem = problem_of(error, request_id="", instance="", challenge='Bearer realm="x"')
    assert problem.headers == {"WWW-Authenticate": 'Bearer realm="x"'}


def test_what_http_alone_knows_keeps_its_status_title_and_headers() -> None:
    """405, 413 and their like are in no table of ours."""
    problem = problem_of(method_not_allowed("GET, POST"), request_id="", instance="")
    assert (problem.status, problem.headers) == (405, {"Allow": "GET, POST"})
    assert problem.body["title"] == "Method Not Allowed"
    assert shown(HttpError(415, "MEDIA_TYPE_UNSUPPORTED", "m"))["title"] == "Unsupported Media Type"
