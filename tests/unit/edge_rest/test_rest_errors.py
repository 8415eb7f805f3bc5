"""Everything that can go wrong is a problem document, and changes nothing."""

import io
import json
import logging

import orjson
import pytest

from protos.mail.v1 import mail_pb2
from services.common.errors import TABLE, AppError, FieldError, Kind
from services.common.identity import Restrictions
from tests.fakes.grpc_backends import API_KEY, MAILBOX_ID

pytestmark = pytest.mark.asyncio(loop_scope="module")

WINDOW = {"start": "2026-03-10T09:00:00Z", "end": "2026-03-10T10:00:00Z"}
HALF = {"start": "09:00"}
INTERVALS = "/v1/meeting-intervals"
SCANS, UNSUBSCRIBES = f"/v1/mailboxes/{MAILBOX_ID}/scans", f"/v1/mailboxes/{MAILBOX_ID}/unsubscribes"


def assert_problem(answer, status, reason):
    """Check what every problem has in common (RFC 9457 §3)."""
    assert (answer.status, answer.body["reason"]) == (status, reason)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["status"] == status
    assert answer.body["type"].endswith(f"/problems/{reason.lower().replace('_', '-')}")
    assert answer.body["title"]
    assert answer.body["detail"]
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# --- who is calling


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 401, "CREDENTIAL_MISSING"),
        ({"X-API-Key": "unknown"}, 401, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer unknown"}, 401, "CREDENTIAL_INVALID"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, 401, "CREDENTIAL_INVALID"),
        ({"Authorization": "Bearer"}, 401, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "with space"}, 401, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "k" * 9_000}, 401, "CREDENTIAL_INVALID"),
        ({"X-API-Key": "clé"}, 401, "CREDENTIAL_INVALID"),
        ({"X-API-Key": API_KEY, "Authorization": f"Bearer {API_KEY}"}, 400, "CREDENTIAL_AMBIGUOUS"),
    ],
)
async def test_bad_credentials_are_refused(shared_edge, headers, status, reason):
    """Nothing is asked of the core for someone unknown."""
    answer = await shared_edge.get("/v1/mailboxes", headers=headers)
    assert_problem(answer, status, reason)
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert shared_edge.backends.mail.requests == []


async def test_auths_own_reason_is_shown(shared_edge):
    """An expired token is told apart from a wrong one."""
    shared_edge.backends.auth.refuse("old.signed.token", "TOKEN_EXPIRED")
    answer = await shared_edge.get("/v1/me", headers={"Authorization": "Bearer old.signed.token"})
    assert_problem(answer, 401, "TOKEN_EXPIRED")


@pytest.mark.promise("rights.scope")
async def test_missing_scope_is_refused_by_the_backend(shared_edge):
    """The scope is the method's; the answer says which one is missing."""
    shared_edge.backends.auth.admit("reader", scopes=["unsubscribe:read"])
    answer = await shared_edge.post("/v1/mailboxes/me/scans", headers={"X-API-Key": "reader"})
    assert_problem(answer, 403, "SCOPE_MISSING")
    assert "mail:scan" in answer.body["detail"]
    assert shared_edge.backends.mail.requests == []


@pytest.mark.promise("rights.read-only")
async def test_read_only_credential_changes_nothing(shared_edge):
    """Whatever its scopes."""
    shared_edge.backends.auth.admit("looker", restrictions=Restrictions(read_only=True))
    headers = {"X-API-Key": "looker"}
    answer = await shared_edge.post(
        "/v1/mailboxes/me/unsubscribes", json={"subscription_ids": ["a"]}, headers=headers
    )
    assert_problem(answer, 403, "READ_ONLY")
    assert (await shared_edge.get("/v1/mailboxes", headers=headers)).status == 200


async def test_auth_away_is_not_a_wrong_credential(shared_edge):
    """A caller must not throw a good key away because auth restarts."""
    shared_edge.backends.auth.failure = AppError(Kind.UNAVAILABLE, "ISSUER_DOWN", "Later.", retry_after_s=2)
    answer = await shared_edge.get("/v1/me", headers={"X-API-Key": "never-seen-before"})
    assert_problem(answer, 503, "ISSUER_DOWN")
    assert answer.headers["Retry-After"] == "2"


# --- what backends say


@pytest.mark.promise("errors.one-table")
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.INTERNAL], ids=lambda k: k.value)
async def test_every_kind_of_error_keeps_its_meaning(shared_edge, kind):
    """What the core raises arrives as it was, in HTTP's words."""
    fields = (FieldError("page_size", "PAGE_SIZE_OUT_OF_RANGE", "At most 200."),)
    shared_edge.backends.mail.failures["ListMailboxes"] = AppError(
        kind, "SOME_REASON", "Says the core.", retry_after_s=0.2, fields=fields
    )
    answer = await shared_edge.get("/v1/mailboxes")
    assert_problem(answer, TABLE[kind].http_status, "SOME_REASON")
    assert answer.body["detail"] == "Says the core."
    assert (answer.headers["Retry-After"], answer.body["retry_after_s"]) == ("1", 0.2)
    assert answer.body["errors"] == [
        {"field": "page_size", "reason": "PAGE_SIZE_OUT_OF_RANGE", "message": "At most 200."}
    ]
    assert answer.body["instance"] == "/v1/mailboxes"


@pytest.mark.promise("errors.bare")
async def test_unexpected_failure_is_bare(shared_edge, caplog):
    """The text of an unknown exception never leaves the house."""
    caplog.set_level(logging.CRITICAL)
    shared_edge.backends.mail.failures["ListMailboxes"] = KeyError("a secret")
    answer = await shared_edge.get("/v1/mailboxes")
    assert_problem(answer, 500, "INTERNAL")
    assert "secret" not in json.dumps(answer.body)


@pytest.mark.promise("outages.typed")
async def test_core_away_is_a_typed_error_within_the_deadline(shared_edge):
    """And the next request after it is back succeeds by itself."""
    await shared_edge.get("/v1/mailboxes")
    await shared_edge.backends.stop_mail()
    answer = await shared_edge.get("/v1/mailboxes")
    assert_problem(answer, 503, "MAIL_CORE_DOWN")
    assert int(answer.headers["Retry-After"]) >= 1
    await shared_edge.backends.start_mail()
    assert (await shared_edge.get("/v1/mailboxes")).status == 200


# --- what HTTP itself refuses


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v1/mailboxes/", "/v1/mailboxes/a/b/c", "/../etc"]
)
async def test_unknown_paths_say_so(shared_edge, path):
    """Without asking who is calling: there is nothing to protect."""
    answer = await shared_edge.get(path, headers={})
    assert_problem(answer, 404, "PATH_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/mailboxes", "GET, HEAD"),
        ("PUT", "/v1/mailboxes/me/unsubscribes", "GET, HEAD, POST"),
        ("GET", "/v1/availability", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/v1/me", "GET, HEAD"),
        ("HEAD", "/v1/operations/x/events", "GET"),
    ],
)
async def test_other_methods_name_the_allowed_ones(shared_edge, method, path, allow):
    """405 has to carry Allow (RFC 9110 §15.5.6)."""
    answer = await shared_edge.ask(method, path, headers={})
    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    if method != "HEAD":
        assert_problem(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.promise("input.size")
@pytest.mark.parametrize("declared", [True, False])
async def test_long_bodies_are_not_read(shared_edge, declared):
    """Whether their length is declared or comes as a surprise."""

    async def chunks():
        for _ in range(20):
            yield b" " * 100_000

    data = io.BytesIO(b" " * 2_000_000) if declared else chunks()
    headers = {"X-API-Key": API_KEY, "Content-Type": "application/json"}
    answer = await shared_edge.post("/v1/availability", data=data, headers=headers)
    assert_problem(answer, 413, "BODY_TOO_LARGE")
    assert "1048576" in answer.body["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": ""},
    ],
)
async def test_other_media_types_are_refused(shared_edge, headers):
    """One form of body, so that nothing has to be guessed."""
    raw = orjson.dumps(WINDOW)
    answer = await shared_edge.post("/v1/availability", data=raw, headers={"X-API-Key": API_KEY, **headers})
    assert_problem(answer, 415, "MEDIA_TYPE_UNSUPPORTED")
    assert shared_edge.backends.mail.requests == []


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nothing",
        b"{'start': 1}",
        b'{"start": NaN}',
        b'{"start": -Infinity}',
        b'{"start": "a", "start": "b"}',
        b'{"start": {"x": 1, "x": 2}}',
        b'{"start": "a"} {}',
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"start": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe{\x00}\x00",
        b'{"start": "\xc3\x28"}',
        b"\xef\xbb\xbf{}",
        b'{"mailbox_id": "\\ud800"}',
        b'{"\\udfff": 1}',
    ],
    ids=range(16),
)
async def test_what_is_not_json_is_refused(shared_edge, raw):
    """RFC 8259, and one name once: two readers of the same bytes must not disagree."""
    headers = {"X-API-Key": API_KEY, "Content-Type": "application/json"}
    answer = await shared_edge.post("/v1/availability", data=raw, headers=headers)
    assert_problem(answer, 400, "JSON_INVALID")
    assert shared_edge.backends.mail.requests == []


# --- shapes


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize(
    ("path", "body", "field", "reason"),
    [
        ("/v1/availability", [], "body", "FIELD_TYPE_INVALID"),
        ("/v1/availability", "text", "body", "FIELD_TYPE_INVALID"),
        ("/v1/availability", 5, "body", "FIELD_TYPE_INVALID"),
        ("/v1/availability", {}, "start", "FIELD_REQUIRED"),
        ("/v1/availability", {**WINDOW, "calendars": ["a"]}, "calendars", "FIELD_UNKNOWN"),
        ("/v1/availability", {**WINDOW, "start_time": WINDOW["start"]}, "start_time", "FIELD_UNKNOWN"),
        ("/v1/availability", {**WINDOW, "calendar_ids": "primary"}, "calendar_ids", "FIELD_TYPE_INVALID"),
        ("/v1/availability", {**WINDOW, "calendar_ids": [1]}, "calendar_ids.0", "FIELD_TYPE_INVALID"),
        ("/v1/availability", {**WINDOW, "calendar_ids": []}, "calendar_ids", "FIELD_OUT_OF_RANGE"),
        ("/v1/availability", {**WINDOW, "calendar_ids": [""]}, "calendar_ids.0", "FIELD_OUT_OF_RANGE"),
        ("/v1/availability", {**WINDOW, "mailbox_id": None}, "mailbox_id", "FIELD_TYPE_INVALID"),
        (INTERVALS, {**WINDOW, "duration_minutes": "30"}, "duration_minutes", "FIELD_TYPE_INVALID"),
        (INTERVALS, {**WINDOW, "duration_minutes": 0}, "duration_minutes", "FIELD_OUT_OF_RANGE"),
        (INTERVALS, {**WINDOW, "duration_minutes": 1.5}, "duration_minutes", "FIELD_TYPE_INVALID"),
        (INTERVALS, {**WINDOW, "max_intervals": 2**31}, "max_intervals", "FIELD_OUT_OF_RANGE"),
        (INTERVALS, {**WINDOW, "max_intervals": True}, "max_intervals", "FIELD_TYPE_INVALID"),
        (INTERVALS, {**WINDOW, "buffer_minutes": -1}, "buffer_minutes", "FIELD_OUT_OF_RANGE"),
        (INTERVALS, {**WINDOW, "time_zone": ""}, "time_zone", "FIELD_OUT_OF_RANGE"),
        (INTERVALS, {**WINDOW, "working_hours": "9-5"}, "working_hours", "FIELD_TYPE_INVALID"),
        (INTERVALS, {**WINDOW, "working_hours": HALF}, "working_hours.end", "FIELD_REQUIRED"),
        (SCANS, {"dry_run": "yes"}, "dry_run", "FIELD_TYPE_INVALID"),
        (SCANS, {"dry_run": 1}, "dry_run", "FIELD_TYPE_INVALID"),
        (SCANS, {"max_messages": -5}, "max_messages", "FIELD_OUT_OF_RANGE"),
        (SCANS, {"max_messages": 10**30}, "max_messages", "FIELD_OUT_OF_RANGE"),
        (UNSUBSCRIBES, {}, "subscription_ids", "FIELD_REQUIRED"),
        (UNSUBSCRIBES, {"subscription_ids": "all"}, "subscription_ids", "FIELD_TYPE_INVALID"),
        (UNSUBSCRIBES, {"subscription_ids": [None]}, "subscription_ids.0", "FIELD_TYPE_INVALID"),
    ],
)  # fmt: skip
async def test_wrong_shapes_name_the_field(shared_edge, path, body, field, reason):
    """A program can find its mistake without a person."""
    answer = await shared_edge.post(path, json=body)
    assert_problem(answer, 400, "REQUEST_INVALID")
    assert (field, reason) in [(error["field"], error["reason"]) for error in answer.body["errors"]]
    assert shared_edge.backends.mail.requests == []


@pytest.mark.promise("input.times")
@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("2026-03-10T09:00:00", "TIME_WITHOUT_OFFSET"),
        ("2026-03-10", "TIME_WITHOUT_OFFSET"),
        ("tomorrow", "TIME_INVALID"),
        ("2026-02-30T09:00:00Z", "TIME_INVALID"),
        ("", "TIME_INVALID"),
        ("2026-03-10T09:00:00Z" * 10, "TIME_INVALID"),
        ("0001-01-01T00:00:00+10:00", "TIME_INVALID"),
        (1_773_133_200, "TIME_INVALID"),
        (None, "TIME_INVALID"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/availability", "/v1/meeting-intervals"])
async def test_times_need_an_offset(shared_edge, path, start, reason):
    """Nobody can know which instant a naive time means."""
    answer = await shared_edge.post(path, json={"start": start, "end": "2026-03-10T10:00:00Z"})
    assert_problem(answer, 400, reason)
    assert answer.body["errors"][0]["field"] == "start"
    assert shared_edge.backends.mail.requests == []


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("page_size=many", "page_size", "FIELD_TYPE_INVALID"),
        ("page_size=", "page_size", "FIELD_TYPE_INVALID"),
        ("page_size=0", "page_size", "FIELD_OUT_OF_RANGE"),
        ("page_size=-1", "page_size", "FIELD_OUT_OF_RANGE"),
        ("page_size=1_0", "page_size", "FIELD_TYPE_INVALID"),
        ("page_size=99999999999999999999", "page_size", "FIELD_TYPE_INVALID"),
        ("page_size=1&page_size=2", "page_size", "FIELD_TYPE_INVALID"),
        ("page_token=a&page_token=b", "page_token", "FIELD_TYPE_INVALID"),
        ("page_token=" + "x" * 3_000, "page_token", "FIELD_OUT_OF_RANGE"),
        ("pagesize=5", "pagesize", "FIELD_UNKNOWN"),
        ("state=gone", "state.0", "FIELD_INVALID"),
        ("state=candidate&state=", "state.1", "FIELD_INVALID"),
        ("state=1", "state.0", "FIELD_INVALID"),
    ],
)
async def test_wrong_queries_name_the_parameter(shared_edge, query, field, reason):
    """A misspelt filter must not give an unfiltered list."""
    answer = await shared_edge.get(f"/v1/mailboxes/me/subscriptions?{query}")
    assert_problem(answer, 400, "REQUEST_INVALID")
    assert (field, reason) in [(error["field"], error["reason"]) for error in answer.body["errors"]]


async def test_a_flood_of_wrong_fields_is_answered_briefly(shared_edge):
    """An answer never grows with the nonsense that was sent."""
    body = {f"{'x' * 300}{number}": 1 for number in range(2_000)}
    answer = await shared_edge.post("/v1/availability", json={**WINDOW, **body})
    assert_problem(answer, 400, "REQUEST_INVALID")
    assert len(answer.body["errors"]) == 20
    assert len(json.dumps(answer.body)) < 10_000


@pytest.mark.parametrize("keys", [[""], ["a", "b"], ["clé"]])
async def test_an_unusable_idempotency_key_is_refused(shared_edge, keys):
    """Going on without it could do the work twice."""
    headers = [("X-API-Key", API_KEY), *(("Idempotency-Key", key) for key in keys)]
    answer = await shared_edge.post("/v1/mailboxes/me/scans", headers=headers)
    assert_problem(answer, 400, "REQUEST_ID_INVALID")
    assert shared_edge.backends.mail.requests == []


@pytest.mark.parametrize("raw", ["%FF", "%00", "%F0%9F%92%A5", "a%2Fb", "x" * 4_000])
async def test_strange_ids_are_only_unknown_ids(shared_edge, raw):
    """Whatever the bytes, an id is text that nobody has."""
    answer = await shared_edge.get(f"/v1/operations/{raw}")
    assert answer.status in (400, 404)
    assert answer.body["reason"] in ("OPERATION_NOT_FOUND", "PATH_INVALID")


async def test_limits_of_the_core_keep_their_reason(shared_edge):
    """Rules are the core's: the edge lets 201 rows pass and shows what the core says."""
    shared_edge.backends.mail.failures["ListMailboxes"] = AppError(
        Kind.INVALID_ARGUMENT, "PAGE_SIZE_OUT_OF_RANGE", "At most 200."
    )
    answer = await shared_edge.get("/v1/mailboxes?page_size=201")
    assert_problem(answer, 400, "PAGE_SIZE_OUT_OF_RANGE")
    assert shared_edge.backends.mail.last(mail_pb2.ListMailboxesRequest).page_size == 201


async def test_a_key_that_is_sent_twice_is_refused_though_it_is_good(shared_edge):
    """As at the other edges: a proxy could have looked at the other one."""
    headers = [("X-API-Key", API_KEY), ("X-API-Key", API_KEY)]
    answer = await shared_edge.get("/v1/mailboxes", headers=headers)
    assert_problem(answer, 401, "CREDENTIAL_INVALID")
