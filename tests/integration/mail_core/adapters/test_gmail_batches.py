"""Reading many messages: batches, parts that fail, answers that lie. Nothing is dropped silently."""

import asyncio
import json

import pytest

from services.common.errors import AppError
from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.gmail_batch import MAX_PARTS, decode, encode
from services.mail_core.adapters.google_access import GoogleConfig, open_google
from services.mail_core.adapters.google_services import WireRequest
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.ports import Gmail, Priority
from tests.fakes.clock import HastyClock, ManualClock
from tests.fakes.sandbox_process import Sandbox, running_sandbox
from tests.integration.mail_core.adapters.scripted_google import Said, error, scripted_google

BATCH = "/batch"
GET = "/gmail/v1/users/me/messages/"


def resource(identity: str) -> dict:
    return {"id": identity, "threadId": "t", "internalDate": "1700000000000", "payload": {"headers": []}}


def part(number: int, status: int, body: object, content_id: str | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    identity = content_id if content_id is not None else f"<response-part-{number}>"
    head = (
        f"Content-Type: application/http\r\nContent-ID: {identity}\r\n\r\nHTTP/1.1 {status} X\r\nA: b\r\n\r\n"
    )
    return head.encode() + content


def batch(*parts: bytes) -> Said:
    body = b"".join(b"--edge\r\n" + each + b"\r\n" for each in parts) + b"--edge--\r\n"
    return Said(body=body, headers={"Content-Type": 'multipart/mixed; boundary="edge"'})


def ids(count: int) -> list[GmailMessageId]:
    return [GmailMessageId(f"m{number}") for number in range(count)]


TOO_MANY = error(429, "rateLimitExceeded", "Too many concurrent requests for user").body


async def test_a_batch_holds_what_gmail_runs_at_once():
    """25 parts succeed; 100 lose three quarters of the mail (peers §0.2)."""
    async with scripted_google() as scripted:
        whole = batch(*(part(number, 200, resource(f"m{number}")) for number in range(25)))
        scripted.says(BATCH, whole, batch(part(0, 200, resource("m25"))))
        result = await scripted.gmail().get_metadata(ids(26))
        first, second = scripted.asked_for(BATCH)
    assert [message.id for message in result.messages] == ids(26)
    assert (first.body.count(b"HTTP/1.1"), second.body.count(b"HTTP/1.1")) == (MAX_PARTS, 1)
    assert b"metadataHeaders=List-Unsubscribe&" in first.body
    assert b"format=metadata" in first.body


async def test_parts_in_any_order_reach_their_own_message():
    """Answers are matched by Content-ID, not by place."""
    async with scripted_google() as scripted:
        scripted.says(BATCH, batch(part(1, 200, resource("m1")), part(0, 200, resource("m0"))))
        result = await scripted.gmail().get_metadata(ids(2))
    assert [message.id for message in result.messages] == ids(2)


@pytest.mark.parametrize(
    "bad",
    [
        part(1, 429, TOO_MANY),
        part(1, 403, error(403, "userRateLimitExceeded").body),
        part(1, 500, b""),
        part(1, 401, error(401, "authError").body),
        part(1, 200, b"{"),
        part(1, 200, []),
        part(1, 200, {"id": "m1"}),
        part(1, 200, resource("m0")),
        part(1, 200, resource("m1"), content_id="<response-part-7>"),
        part(1, 200, resource("m1"), content_id=""),
        b"nonsense",
    ],
)
async def test_a_part_that_failed_is_asked_for_alone(bad):
    """Throttled, broken, missing, or with another's answer: the message is read by itself."""
    async with scripted_google() as scripted:
        scripted.says(BATCH, batch(part(0, 200, resource("m0")), bad, part(2, 200, resource("m2"))))
        scripted.says(f"{GET}m1", error(429, "rateLimitExceeded"), Said(body=resource("m1")))
        result = await scripted.gmail().get_metadata(ids(3))
        assert len(scripted.asked_for(BATCH)) == 1
    assert [message.id for message in result.messages] == ids(3)
    assert result.failed_ids == ()


async def test_what_cannot_be_read_is_named():
    """After all retries the result says which mail is missing."""
    async with scripted_google() as scripted:
        scripted.says(BATCH, batch(part(0, 200, resource("m0")), part(1, 500, b""), part(2, 404, b"")))
        scripted.says(f"{GET}m1", Said(500))
        result = await scripted.gmail().get_metadata(ids(3))
    assert ([message.id for message in result.messages], result.gone_ids, result.failed_ids) == (
        ["m0"],
        ("m2",),
        ("m1",),
    )


async def test_trouble_ends_the_reading_and_the_rest_is_named():
    """When retries are used up, going on would only make it worse: what was read is kept."""
    async with scripted_google() as scripted:
        whole = batch(*(part(number, 200, resource(f"m{number}")) for number in range(25)))
        scripted.says(BATCH, whole, error(403, "dailyLimitExceeded"))
        result = await scripted.gmail().get_metadata(ids(80))
        assert len(scripted.asked_for(BATCH)) == 2
    assert [message.id for message in result.messages] == ids(25)
    assert result.failed_ids == tuple(ids(80)[25:])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (error(403, "dailyLimitExceeded"), "GMAIL_QUOTA"),
        (error(429, "rateLimitExceeded"), "GMAIL_QUOTA"),
        (error(503), "GMAIL_DOWN"),
        (Said(body=b"no batch"), "GMAIL_DOWN"),
        (error(401), "GMAIL_GRANT_REVOKED"),
    ],
)
async def test_when_nothing_can_be_read_the_reason_is_raised(said, reason):
    """An empty partial result would hide why."""
    async with scripted_google() as scripted:
        scripted.says(BATCH, said)
        with pytest.raises(AppError, match=reason):
            await scripted.gmail().get_metadata(ids(3))


async def test_batches_of_one_account_follow_each_other():
    """Two scans of one mailbox must not run 50 parts at once."""
    async with scripted_google() as scripted:
        scripted.says(BATCH, batch(part(0, 200, resource("m0"))))
        await asyncio.gather(*(scripted.gmail().get_metadata(ids(1)) for _ in range(5)))
        assert scripted.most_at_once[BATCH] == 1


async def test_a_batch_that_waits_for_units_holds_up_nobody():
    """A scan that is out of units must not keep a person's read from being next."""
    clock = ManualClock()
    async with scripted_google(clock=clock, units_per_minute=6_000) as scripted:
        scripted.says(BATCH, batch(part(0, 200, resource("m0"))))
        for number in range(25):
            scripted.says(f"{GET}m{number}", Said(body=resource(f"m{number}")))
        await scripted.spend_the_burst()
        scan = asyncio.create_task(scripted.gmail(Priority.BACKGROUND).get_metadata(ids(25)))
        await clock.advance(0.1)
        person = asyncio.create_task(scripted.gmail().get_metadata(ids(1)))
        await clock.advance(0.5)
        async with asyncio.timeout(5):
            assert (await person).messages
        assert not scan.done()
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)


def test_a_batch_reads_back_what_was_written():
    """Requests with and without a body keep method, target and content."""
    requests = [
        WireRequest("GET", "http://h/a?x=%2F", {"accept": "application/json", "authorization": "no"}, None),
        WireRequest("POST", "http://h/b", {"content-type": "application/json"}, b'{"a": 1}'),
    ]
    content_type, body = encode(requests)
    assert content_type.startswith("multipart/mixed; boundary=")
    assert b"GET /a?x=%2F HTTP/1.1\r\naccept: application/json\r\n\r\n" in body
    assert b"POST /b HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n" in body
    assert b"authorization" not in body


@pytest.mark.parametrize("content_type", ["", "text/html", "multipart/mixed", "multipart/mixed; boundary="])
def test_what_is_no_batch_is_said_to_be_none(content_type):
    """A proxy's error page is not an empty batch."""
    with pytest.raises(ValueError, match="no batch"):
        decode(content_type, b"--edge--")


def test_a_cut_off_batch_gives_the_parts_that_arrived():
    """What is missing is asked for alone."""
    body = (
        b"--edge\r\n"
        + part(0, 200, resource("m0"))
        + b"\r\n--edge\r\nContent-ID: <response-part-1>\r\n\r\nHTTP/1"
    )
    assert set(decode("multipart/mixed; boundary=edge", body)) == {0}


def test_bare_newlines_are_read_too():
    """Some answers come with bare newlines."""
    body = b'--e\nContent-ID: <response-part-3>\n\nHTTP/1.1 200 OK\nA: b\n\n{"x": 1}\n--e--'
    parts = decode("multipart/mixed; boundary=e", body)
    assert (parts[3].status, parts[3].headers, parts[3].content) == (200, {"a": "b"}, b'{"x": 1}')


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with running_sandbox(
        tmp_path_factory.mktemp("sandbox"), SANDBOX_QUOTA_UNITS_PER_MINUTE="1000000"
    ) as started:
        yield started


async def _whole_mailbox(gmail: Gmail) -> list[GmailMessageId]:
    found: list[GmailMessageId] = []
    token = ""
    while True:
        page = await gmail.list_ids("", token)
        found += page.ids
        if not page.next_page_token:
            return found
        token = page.next_page_token


@pytest.mark.promise("once.mail")
async def test_no_mail_is_lost_when_parts_of_batches_fail(sandbox: Sandbox):
    """A whole mailbox is read although scores of parts are throttled, broken or dropped on the way."""
    config = GoogleConfig(
        api_endpoint=sandbox.google,
        token_uri=f"{sandbox.google}/token",
        units_per_minute=10**6,
        backoff=Backoff(first_s=0.001),
    )
    async with open_google(config, HastyClock()) as google:
        gmail = google.gmail(google.read_grant(await sandbox.token_json()))
        listed = await _whole_mailbox(gmail)
        await sandbox.fault("gmail.users.messages.get", count=30, status=429, reason="rateLimitExceeded")
        await sandbox.fault("gmail.users.messages.get", count=6, status=503, reason="backendError")
        result = await gmail.get_metadata(listed)
    assert len(listed) > 100
    assert [message.id for message in result.messages] == listed
    assert (result.gone_ids, result.failed_ids) == ((), ())
