"""The table of Google's refusals: each row is reached over the wire, and reads as the contract says."""

from datetime import UTC, datetime

import pytest

from services.common.errors import AppError, Kind
from services.mail_core.adapters.google_errors import TABLE, Handling, refusal
from tests.integration.mail_core.adapters.scripted_google import Said, error, scripted_google

PROFILE = "/gmail/v1/users/me/profile"
FREE_BUSY = "/calendar/v3/freeBusy"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

EXPECTED = {
    (400, "failedPrecondition"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (400, "*"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (401, "*"): (Kind.FAILED_PRECONDITION, "GMAIL_GRANT_REVOKED"),
    (403, "rateLimitExceeded"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (403, "userRateLimitExceeded"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (403, "RATE_LIMIT_EXCEEDED"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (403, "quotaExceeded"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (403, "dailyLimitExceeded"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (403, "insufficientPermissions"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (403, "accessNotConfigured"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (403, "SERVICE_DISABLED"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (403, "domainPolicy"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (403, "*"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (404, "*"): (Kind.NOT_FOUND, "GMAIL_NOT_FOUND"),
    (408, "*"): (Kind.UNAVAILABLE, "GMAIL_DOWN"),
    (409, "*"): (Kind.ABORTED, "GMAIL_CONFLICT"),
    (410, "*"): (Kind.NOT_FOUND, "GMAIL_NOT_FOUND"),
    (429, "dailyLimitExceeded"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
    (429, "*"): (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA"),
}
BEYOND_THE_TABLE = {
    (418, "teapot"): (Kind.FAILED_PRECONDITION, "GMAIL_REFUSED"),
    (302, ""): (Kind.UNAVAILABLE, "GMAIL_DOWN"),
    (500, "backendError"): (Kind.UNAVAILABLE, "GMAIL_DOWN"),
    (503, ""): (Kind.UNAVAILABLE, "GMAIL_DOWN"),
}


def test_every_row_of_the_table_is_expected_here():
    """A new row without a test would be a row that nobody has reached."""
    assert set(EXPECTED) == set(TABLE)


@pytest.mark.parametrize(("row", "reads"), [*EXPECTED.items(), *BEYOND_THE_TABLE.items()])
async def test_a_refusal_reads_as_the_table_says(row, reads):
    """Status and reason decide; the text of Google's message never reaches the caller."""
    status, reason = row
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(status, "unheardOf" if reason == "*" else reason, "owner@example.com"))
        with pytest.raises(AppError) as refused:
            await scripted.gmail().profile()
    assert (refused.value.kind, refused.value.reason) == reads
    assert "owner@example.com" not in str(refused.value)
    assert (refused.value.retry_after_s is not None) == refused.value.mapped.retryable


@pytest.mark.parametrize("row", TABLE)
async def test_only_what_may_pass_is_tried_again(row):
    """Five tries for what is temporary, two for a stale token, one for everything else."""
    tries = {Handling.RETRY: 5, Handling.REFRESH: 2, Handling.STOP: 1}[TABLE[row].handling]
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(row[0], row[1].replace("*", "unheardOf")))
        with pytest.raises(AppError):
            await scripted.gmail().profile()
        assert len(scripted.asked_for(PROFILE)) == tries


@pytest.mark.parametrize(
    ("status", "reason", "reads"),
    [
        (429, "", (Kind.RESOURCE_EXHAUSTED, "GOOGLE_QUOTA")),
        (403, "quotaExceeded", (Kind.RESOURCE_EXHAUSTED, "GOOGLE_QUOTA")),
        (503, "", (Kind.UNAVAILABLE, "GOOGLE_DOWN")),
        (403, "insufficientPermissions", (Kind.FAILED_PRECONDITION, "GOOGLE_REFUSED")),
        (401, "", (Kind.FAILED_PRECONDITION, "GMAIL_GRANT_REVOKED")),
    ],
)
async def test_calendar_refusals_have_their_own_words(status, reason, reads):
    """What Calendar refuses is not blamed on Gmail; the grant is one and the same."""
    async with scripted_google() as scripted:
        scripted.says(FREE_BUSY, error(status, reason))
        with pytest.raises(AppError) as refused:
            await scripted.calendar().free_busy(["primary"], NOW, NOW.replace(hour=13))
    assert (refused.value.kind, refused.value.reason) == reads


async def test_a_connection_that_breaks_is_a_google_that_is_down():
    """No answer is a typed error, after the tries are used up."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, Said(drops=True))
        with pytest.raises(AppError) as refused:
            await scripted.gmail().profile()
        # The HTTP library repeats a GET once more by itself when a kept connection breaks.
        assert 5 <= len(scripted.asked_for(PROFILE)) <= 10
    assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "GMAIL_DOWN")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", {"emailAddress": 5}])
async def test_an_answer_that_makes_no_sense_is_a_google_that_is_down(body):
    """A 200 that is not what was asked for is no success."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, Said(body=body))
        with pytest.raises(AppError, match="GMAIL_DOWN"):
            await scripted.gmail().profile()


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after": "99999999999"}, "", 3600),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, "", 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, "", 0),
        ({}, "User-rate limit exceeded.  Retry after 2026-11-21T12:01:00.500Z", 60.5),
        ({"retry-after": "soon"}, "Retry after never", None),
        ({"retry-after": "-1"}, "", None),
        ({}, "Retry after 2026-99-99T12:01:00Z", None),
    ],
)
def test_the_time_to_wait_is_read_wherever_google_puts_it(headers, message, seconds):
    """Retry-After as seconds or date, or Gmail's own sentence; nonsense is no time, and an hour the most."""
    content = f'{{"error": {{"message": "{message}"}}}}'.encode()
    assert refusal("gmail", 429, headers, content, NOW).told_to_wait_s == seconds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'{"error": "text"}',
        b'{"error": {"errors": "x", "details": 5}}',
        b'{"error": {"errors": [1]}}',
    ],
)
def test_any_error_body_can_be_read(content):
    """A proxy's page or a broken body costs the reason, nothing else."""
    assert refusal("gmail", 403, {}, content, NOW).reason == "GMAIL_REFUSED"


def test_the_reason_is_found_in_the_newer_error_format():
    """google.rpc.ErrorInfo carries it in `details`."""
    content = (
        b'{"error": {"errors": [{"reason": "forbidden"}], "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}}'
    )
    assert refusal("gmail", 403, {}, content, NOW).reason == "GMAIL_QUOTA"
