"""How Google is called: tokens, retries, deadlines and traces, against a scripted Google."""

import asyncio
import base64
import time
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common.context import Call, entered
from services.common.errors import AppError, Kind
from services.common.tracing import Trace, within
from services.mail_core.adapters.backoff import Backoff
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.ports import SendUnknownError
from tests.integration.mail_core.adapters.scripted_google import Said, error, scripted_google

PROFILE = "/gmail/v1/users/me/profile"
LIST = "/gmail/v1/users/me/messages"
SEND = "/gmail/v1/users/me/messages/send"
LABELS = "/gmail/v1/users/me/labels"
GOOD = Said(body={"emailAddress": "owner@example.com", "historyId": "7"})


def mail() -> EmailMessage:
    message = EmailMessage()
    message["To"] = "leave@lists.example"
    message["Subject"] = "unsubscribe ü"
    message.set_content("Please.")
    return message


async def test_a_token_is_fetched_once_for_many_calls():
    """Calls that start together share one refresh, and later ones its token."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, GOOD)
        await asyncio.gather(*(scripted.gmail().profile() for _ in range(10)))
        await scripted.gmail().profile()
        assert scripted.tokens == 1
        (asked,) = scripted.asked_for("/token")
    assert asked.verb == "POST"
    assert b"grant_type=refresh_token" in asked.body


async def test_a_token_is_renewed_shortly_before_it_ends():
    """A call never starts with a token that may end on the way."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, GOOD)
        gmail = scripted.gmail()
        await gmail.profile()
        scripted.clock.skip(3530)
        await gmail.profile()
        scripted.clock.skip(15)
        await gmail.profile()
        assert scripted.tokens == 2


async def test_a_stale_token_is_renewed_once_and_the_call_repeated():
    """A 401 in the middle of a token's life costs the caller nothing."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(401, "authError"), GOOD)
        assert (await scripted.gmail().profile()).history_id == "7"
        used = [asked.headers["authorization"] for asked in scripted.asked_for(PROFILE)]
    assert used == ["Bearer access-1", "Bearer access-2"]


@pytest.mark.parametrize("word", ["invalid_grant", "invalid_client", "unauthorized_client", "deleted_client"])
async def test_a_grant_that_ended_is_not_asked_for_again(word):
    """The owner has to act; asking again would not help."""
    async with scripted_google() as scripted:
        scripted.says(
            "/token", Said(400, {"error": word, "error_description": "Token for owner@example.com"})
        )
        with pytest.raises(AppError) as refused:
            await scripted.gmail().profile()
        assert len(scripted.asked_for("/token")) == 1
    assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, "GMAIL_GRANT_REVOKED")
    assert "owner@example.com" not in str(refused.value)


@pytest.mark.parametrize("said", [Said(500), Said(429), Said(200, {}), Said(200, b"<html>"), Said(302)])
async def test_a_token_endpoint_in_trouble_is_asked_again(said):
    """What may pass is tried again, and is not called a revoked grant."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, GOOD)
        scripted.says("/token", said, said, Said(body={"access_token": "a", "expires_in": 60}))
        await scripted.gmail().profile()
        scripted.says("/token", said)
        with pytest.raises(AppError, match="GMAIL_DOWN"):
            await scripted.gmail(refresh_token="another").profile()


async def test_a_token_endpoint_that_is_down_makes_a_send_safe_to_repeat():
    """Without a token nothing was sent: it is a failure, not an unknown."""
    async with scripted_google() as scripted:
        scripted.says("/token", Said(503))
        with pytest.raises(AppError, match="GMAIL_DOWN"):
            await scripted.gmail().send(mail())


async def test_a_refresh_that_is_cancelled_leaves_the_next_one_free():
    """A caller that goes away must not take the others' token with it."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, GOOD)
        first = asyncio.create_task(scripted.gmail().profile())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await scripted.gmail().profile()


async def test_waits_double_and_obey_retry_after():
    """Backoff doubles; Google's own word counts when it is longer."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(503), error(503), error(503, Retry_After="9"), GOOD)
        await scripted.gmail().profile()
        assert scripted.clock.waits == pytest.approx([0.5, 1.0, 9.0])


async def test_a_quota_refusal_holds_all_work_on_the_account():
    """Others spend the same quota: everybody waits until Google's time is over."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(429, "rateLimitExceeded", Retry_After="20"), GOOD)
        await scripted.gmail().profile()
        assert sum(scripted.clock.waits) >= 20


async def test_a_deadline_is_kept_and_the_time_to_wait_is_told():
    """Waiting beyond the caller's deadline is refused at once."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(429, "rateLimitExceeded", Retry_After="20"))
        with entered(Call(request_id="r", deadline=time.monotonic() + 5)), pytest.raises(AppError) as refused:
            await scripted.gmail().profile()
        assert len(scripted.asked_for(PROFILE)) == 1
    assert (refused.value.reason, refused.value.retry_after_s) == ("GMAIL_QUOTA", 20)


async def test_a_quota_used_up_by_ourselves_is_refused_within_the_deadline():
    """Our own ledger says no before Google has to."""
    async with scripted_google(units_per_minute=100) as scripted:
        scripted.says(SEND, Said(body={"id": "1"}))
        gmail = scripted.gmail()
        await gmail.send(mail())
        with entered(Call(request_id="r", deadline=time.monotonic() + 5)), pytest.raises(AppError) as refused:
            await gmail.send(mail())
        assert len(scripted.asked_for(SEND)) == 1
    assert refused.value.reason == "GMAIL_QUOTA"
    assert refused.value.retry_after_s is not None


async def test_a_mail_arrives_as_it_was_composed():
    """RFC 822 with CRLF, base64url, as Gmail wants it."""
    async with scripted_google() as scripted:
        scripted.says(SEND, Said(body={"id": "abc"}))
        assert await scripted.gmail().send(mail()) == GmailMessageId("abc")
        (asked,) = scripted.asked_for(SEND)
    raw = base64.urlsafe_b64decode(asked.body.decode().split('"')[3])
    assert b"\r\n\r\nPlease.\r\n" in raw
    assert message_from_bytes(raw, policy=policy.default)["Subject"] == "unsubscribe ü"


@pytest.mark.parametrize(
    "said", [Said(drops=True), error(500), error(503), error(408), Said(body=b"<html>"), Said(body={})]
)
async def test_a_send_without_a_clear_answer_is_unknown_and_sent_once(said):
    """Gmail may have sent it: never a second time."""
    async with scripted_google() as scripted:
        scripted.says(SEND, said)
        with pytest.raises(SendUnknownError):
            await scripted.gmail().send(mail())
        assert len(scripted.asked_for(SEND)) == 1


@pytest.mark.parametrize("turned_away", [error(429), error(403, "userRateLimitExceeded"), error(401)])
async def test_a_send_that_gmail_turned_away_is_tried_again(turned_away):
    """Turned away at the door means that nothing was sent."""
    async with scripted_google() as scripted:
        scripted.says(SEND, turned_away, Said(body={"id": "abc"}))
        assert await scripted.gmail().send(mail()) == "abc"


async def test_a_send_that_gmail_refuses_is_refused():
    """A bad recipient is not an unknown."""
    async with scripted_google() as scripted:
        scripted.says(SEND, error(400, "invalidArgument"))
        with pytest.raises(AppError, match="GMAIL_REFUSED"):
            await scripted.gmail().send(mail())


async def test_a_google_that_is_not_there_is_down_and_a_send_to_it_is_no_unknown():
    """A refused connection proves that nothing was sent."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, GOOD)
        await scripted.gmail().profile()
        await scripted.close()
        with pytest.raises(AppError, match="GMAIL_DOWN"):
            await scripted.gmail().send(mail())


async def test_a_label_that_somebody_else_makes_at_once_is_found():
    """Two workers, one label: the 409 of the second means that it is there."""
    mine = {"labels": [{"id": "Label_9", "name": "Mailwarden/News"}]}
    async with scripted_google() as scripted:
        scripted.says(LABELS, Said(body={"labels": []}), error(409, "aborted"), Said(body=mine))
        assert await scripted.gmail().ensure_label("Mailwarden/News") == "Label_9"
        assert [asked.verb for asked in scripted.asked_for(LABELS)] == ["GET", "POST", "GET"]


async def test_a_label_name_that_gmail_refuses_is_an_error():
    """A 409 without such a label, or a 400, is the caller's to know."""
    async with scripted_google() as scripted:
        scripted.says(LABELS, Said(body={}), error(409, "aborted"), Said(body={}))
        with pytest.raises(AppError, match="GMAIL_CONFLICT"):
            await scripted.gmail().ensure_label("INBOX")


async def test_a_search_too_long_for_a_url_travels_in_the_body():
    """As Google's own client does it: a POST that says it is a GET."""
    query = "from:" + "x" * 3000
    async with scripted_google() as scripted:
        scripted.says(LIST, Said(body={"messages": [{"id": "1"}], "resultSizeEstimate": 1}))
        assert (await scripted.gmail().list_ids(query)).ids == ("1",)
        (asked,) = scripted.asked_for(LIST)
    assert (asked.verb, asked.query, asked.headers["x-http-method-override"]) == ("POST", "", "GET")
    assert query.encode()[:100].replace(b":", b"%3A") in asked.body


async def test_bulk_changes_go_a_thousand_at_a_time():
    """Gmail takes 1,000 ids a call."""
    path = "/gmail/v1/users/me/messages/batchModify"
    async with scripted_google() as scripted:
        scripted.says(path, Said(204, b""))
        gmail = scripted.gmail()
        await gmail.batch_modify([GmailMessageId(str(n)) for n in range(2500)], add=["L"])
        assert len(scripted.asked_for(path)) == 3
    assert gmail.units_spent == 150


@pytest.mark.promise("traces.private")
async def test_google_gets_no_trace_header_and_the_trace_no_address():
    """A call is a span with method, status, attempts and units, and nothing about whose mail it is."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(otel, "get_tracer", provider.get_tracer)
        async with scripted_google() as scripted:
            scripted.says(LIST, error(503), Said(body={}))
            with within(Trace(1, 2, is_sampled=True)):
                await scripted.gmail().list_ids("from:somebody@example.com")
            (_, asked) = scripted.asked_for(LIST)
    spans = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    assert spans["google.gmail.users.messages.list"] == {
        "google.units": 5,
        "google.attempts": 2,
        "http.response.status_code": 503,
    }
    assert set(spans) == {"google.gmail.users.messages.list", "google.oauth2.token"}
    assert not {"traceparent", "tracestate", "baggage", "cookie"} & set(asked.headers)


@pytest.mark.promise("secrets.shown")
async def test_nothing_secret_is_shown():
    """Grants, tokens and errors can be printed without giving anything away."""
    async with scripted_google() as scripted:
        scripted.says(PROFILE, error(400, "invalidArgument"))
        gmail = scripted.gmail()
        with pytest.raises(AppError) as refused:
            await gmail.profile()
        shown = f"{scripted.grant()!r} {gmail!r} {refused.value!r} {refused.value}"
    for secret in ("client-secret-value", "1//refresh-token-value", "access-1"):
        assert secret not in shown


async def test_backoff_has_jitter():
    """Who failed together does not come back together."""
    assert Backoff(jitter=lambda: 0.0).delay_s(3) == 1.0
    assert Backoff(jitter=lambda: 1.0).delay_s(3) == 2.0
    assert Backoff(jitter=lambda: 1.0).delay_s(50) == 16
