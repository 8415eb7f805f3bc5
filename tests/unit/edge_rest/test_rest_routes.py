"""Each route: what reaches the backend, and how its answer is shown."""

from datetime import UTC, datetime

import pytest

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.proto_json import to_dict
from tests.fakes.grpc_backends import API_KEY, MAILBOX_ID, SUBSCRIPTION_IDS, TEAM_ID


@pytest.mark.promise("outages.health")
async def test_health_needs_no_credential_and_no_backend(edge):
    """A process without backends is alive: it must not be restarted for their sake."""
    await edge.backends.stop_mail()
    await edge.backends.stop_auth()
    answer = await edge.get("/health", headers={})
    assert (answer.status, answer.body) == (200, {"status": "ok"})


async def test_ready_while_both_backends_serve(edge):
    """Readiness asks the backends' own health."""
    answer = await edge.get("/ready", headers={})
    assert (answer.status, answer.body) == (200, {"status": "ready"})


async def test_unready_names_the_backend_that_is_missing(edge):
    """Whoever looks at a dead system sees at once which part is dead."""
    await edge.backends.stop_mail()
    answer = await edge.get("/ready", headers={})
    assert (answer.status, answer.body["reason"]) == (503, "NOT_READY")
    assert "mail_core" in answer.body["detail"]
    assert "auth" not in answer.body["detail"]
    assert answer.headers["Retry-After"] == "1"


async def test_me_shows_the_caller(edge):
    """The caller as auth knows it, by either header."""
    by_key = await edge.get("/v1/me")
    by_bearer = await edge.get("/v1/me", headers={"Authorization": f"Bearer {API_KEY}"})
    assert by_key.status == 200
    team = by_key.body["caller"]["team"]
    assert (team["id"], team["name"]) == (TEAM_ID, "default")
    assert team["limits"]["requests_per_minute"] > 0
    assert by_key.body["caller"]["credential_kind"] == "api_key"
    assert by_key.body == by_bearer.body


async def test_mailboxes_pass_their_page(edge):
    """Paging is the core's: numbers and tokens go through."""
    answer = await edge.get("/v1/mailboxes?page_size=7&page_token=abc")
    assert answer.body["mailboxes"][0]["id"] == MAILBOX_ID
    assert edge.backends.mail.last(mail_pb2.ListMailboxesRequest) == mail_pb2.ListMailboxesRequest(
        page_size=7, page_token="abc"
    )


async def test_scan_is_taken_on_and_says_where_to_look(edge):
    """202, Location, and the operation as it stands."""
    answer = await edge.post(
        f"/v1/mailboxes/{MAILBOX_ID}/scans",
        json={"dry_run": True, "max_messages": 10},
        headers={"X-API-Key": API_KEY, "Idempotency-Key": "scan-1"},
    )
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/operations/{answer.body['id']}"
    assert (answer.body["kind"], answer.body["state"]) == ("scan", "queued")
    assert edge.backends.mail.last(mail_pb2.ScanMailboxRequest) == mail_pb2.ScanMailboxRequest(
        mailbox_id=MAILBOX_ID, request_id="scan-1", dry_run=True, max_messages=10
    )


async def test_scan_needs_no_body(edge):
    """Every field of a scan has a default; `me` goes through as it is."""
    answer = await edge.post("/v1/mailboxes/me/scans")
    assert answer.status == 202
    assert edge.backends.mail.last(mail_pb2.ScanMailboxRequest) == mail_pb2.ScanMailboxRequest(
        mailbox_id="me"
    )


@pytest.mark.promise("once.request-id")
async def test_same_idempotency_key_gives_the_same_operation(edge):
    """The key travels as the request id, which is what the core knows repeats by."""
    headers = {"X-API-Key": API_KEY, "Idempotency-Key": "once"}
    first = await edge.post(
        "/v1/mailboxes/me/unsubscribes", json={"subscription_ids": ["a"]}, headers=headers
    )
    again = await edge.post(
        "/v1/mailboxes/me/unsubscribes", json={"subscription_ids": ["a"]}, headers=headers
    )
    assert first.body["id"] == again.body["id"]
    assert edge.backends.mail.last(mail_pb2.UnsubscribeRequest).request_id == "once"


async def test_subscriptions_can_be_narrowed_to_states(edge):
    """Words of answers are words of queries."""
    answer = await edge.get("/v1/mailboxes/me/subscriptions?state=candidate&state=needs_person&page_size=2")
    assert [row["id"] for row in answer.body["subscriptions"]] == list(SUBSCRIPTION_IDS)
    assert answer.body["subscriptions"][0]["method"] == "one_click"
    assert answer.body["total_size"] == 2
    request = edge.backends.mail.last(mail_pb2.ListSubscriptionsRequest)
    assert list(request.states) == [
        resources_pb2.SUBSCRIPTION_STATE_CANDIDATE,
        resources_pb2.SUBSCRIPTION_STATE_NEEDS_PERSON,
    ]


async def test_unsubscribe_passes_ids_and_dry_run(edge):
    """What to end is said by id."""
    body = {"subscription_ids": list(SUBSCRIPTION_IDS), "dry_run": True}
    answer = await edge.post(f"/v1/mailboxes/{MAILBOX_ID}/unsubscribes", json=body)
    assert (answer.status, answer.body["kind"]) == (202, "unsubscribe")
    assert edge.backends.mail.last(mail_pb2.UnsubscribeRequest) == mail_pb2.UnsubscribeRequest(
        mailbox_id=MAILBOX_ID, subscription_ids=SUBSCRIPTION_IDS, dry_run=True
    )


async def test_ledger_shows_attempts(edge):
    """The same path, read."""
    answer = await edge.get(f"/v1/mailboxes/{MAILBOX_ID}/unsubscribes?page_size=5")
    assert answer.body["attempts"][0]["state"] == "accepted"
    assert edge.backends.mail.last(mail_pb2.ListUnsubscribesRequest).page_size == 5


@pytest.mark.parametrize("names", [("start", "end"), ("start_time", "end_time")])
async def test_availability_speaks_of_instants(edge, names):
    """Times keep their instant, whatever offset they were written in and by whichever name."""
    body = {
        names[0]: "2026-03-10T09:00:00+01:00",
        names[1]: "2026-03-10T10:30:00Z",
        "calendar_ids": ["primary", "team@example.com"],
    }
    answer = await edge.post("/v1/availability", json=body)
    assert answer.body["available"] is True
    assert answer.body["window"] == {
        "start_time": "2026-03-10T08:00:00.000Z",
        "end_time": "2026-03-10T10:30:00.000Z",
    }
    request = edge.backends.mail.last(mail_pb2.CheckAvailabilityRequest)
    assert request.start_time.ToDatetime(UTC) == datetime(2026, 3, 10, 8, tzinfo=UTC)
    assert (request.mailbox_id, list(request.calendar_ids)) == ("", ["primary", "team@example.com"])


async def test_meeting_intervals_pass_every_wish(edge):
    """All fields of the contract can be said."""
    answer = await edge.post(
        "/v1/meeting-intervals",
        json={
            "mailbox_id": MAILBOX_ID,
            "start": "2026-03-10T00:00:00+01:00",
            "end": "2026-03-14T00:00:00+01:00",
            "duration_minutes": 45,
            "time_zone": "Europe/Paris",
            "working_hours": {"start": "08:30", "end": "17:00", "days": [1, 2]},
            "buffer_minutes": 0,
            "step_minutes": 15,
            "max_intervals": 3,
        },
    )
    assert answer.body["time_zone"] == "Europe/Paris"
    request = edge.backends.mail.last(mail_pb2.SuggestMeetingIntervalsRequest)
    assert (request.duration_minutes, request.step_minutes, request.max_intervals) == (45, 15, 3)
    assert request.working_hours == mail_pb2.WorkingHours(start="08:30", end="17:00", days=[1, 2])


async def test_meeting_intervals_leave_defaults_to_the_core(edge):
    """What is not said is absent on the wire too, and null says as much as nothing."""
    body = {"start": "2026-03-10T00:00:00Z", "end": "2026-03-11T00:00:00Z", "time_zone": None}
    await edge.post("/v1/meeting-intervals", json=body)
    request = edge.backends.mail.last(mail_pb2.SuggestMeetingIntervalsRequest)
    assert {f.name for f, _ in request.ListFields()} == {"start_time", "end_time"}


async def test_operation_can_be_read_and_cancelled(edge):
    """An operation is at its Location."""
    edge.backends.mail.may_finish.clear()
    location = (await edge.post("/v1/mailboxes/me/scans")).headers["Location"]
    assert (await edge.get(location)).body["state"] == "queued"
    assert (await edge.post(f"{location}/cancel")).body["state"] == "cancelled"
    assert (await edge.get(location)).body["state"] == "cancelled"


async def test_answers_are_the_common_shape(edge):
    """REST shows messages exactly as the other edges do."""
    answer = await edge.get("/v1/mailboxes/me/subscriptions")
    rows = (
        await edge.backends.mail.list_subscriptions(mail_pb2.ListSubscriptionsRequest(), None)
    ).subscriptions
    assert answer.body["subscriptions"] == [to_dict(row) for row in rows]


async def test_head_answers_like_get_without_a_body(edge):
    """Probes may use HEAD (RFC 9110 §9.3.2)."""
    answer = await edge.ask("HEAD", "/health", headers={})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


async def test_a_credential_is_exchanged_once_for_each_backend(edge):
    """Requests after the first cost no call to auth."""
    for _ in range(3):
        await edge.get("/v1/mailboxes")
    assert edge.backends.auth.exchanges == [API_KEY]


@pytest.mark.promise("traces.request-id")
async def test_request_id_reaches_the_backend_and_the_answer(edge):
    """One id finds a request everywhere; a harmless one of the client is kept."""
    answer = await edge.get("/v1/mailboxes", headers={"X-API-Key": API_KEY, "X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    assert edge.backends.mail.calls[-1].request_id == "mine-1"
    made = (await edge.get("/v1/mailboxes")).headers["X-Request-Id"]
    assert made == edge.backends.mail.calls[-1].request_id


async def test_answers_carry_security_headers(edge):
    """Private answers are kept by nobody."""
    private, public = await edge.get("/v1/me"), await edge.get("/openapi.json", headers={})
    assert private.headers["Cache-Control"] == "no-store"
    assert public.headers["Cache-Control"] == "max-age=300"
    assert {private.headers["X-Content-Type-Options"], public.headers["X-Content-Type-Options"]} == {
        "nosniff"
    }
