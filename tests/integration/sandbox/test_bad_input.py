"""Whatever comes in, the answer is an error in Google's shape, and nothing changes."""

import io
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.sandbox.conftest import GMAIL, open_desk

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = "x" * 300


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk():
    """One sandbox for all: bad input changes nothing."""
    async with AsyncExitStack() as stack:
        yield await open_desk(stack)


def is_google_error(status, answer, code):
    error = answer["error"]
    return status == error["code"] == code and {"domain", "reason", "message"} <= set(error["errors"][0])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{GMAIL}/messages/batchModify", b"{"),
        (f"{GMAIL}/messages/batchModify", b"[" * 100_000),
        (f"{GMAIL}/messages/batchModify", b"\xff\xfe"),
        (f"{GMAIL}/messages/batchModify", b"[]"),
        (f"{GMAIL}/messages/batchModify", b'{"ids": "all"}'),
        (f"{GMAIL}/messages/batchModify", b'{"ids": [1]}'),
        (f"{GMAIL}/messages/batchModify", b'{"ids": [], "addLabelIds": ["INBOX"]}'),
        (f"{GMAIL}/messages/batchModify", b'{"ids": ["1"], "addLabelIds": ["Label_99"]}'),
        (f"{GMAIL}/messages/batchModify", b'{"ids": ["1"], "addLabelIds": ["SENT"]}'),
        (
            f"{GMAIL}/messages/batchModify",
            b'{"ids": ["1"], "addLabelIds": ["INBOX"], "removeLabelIds": ["INBOX"]}',
        ),
        (f"{GMAIL}/messages/batchModify", b'{"ids": [' + b'"1",' * 1000 + b'"1"], "addLabelIds": ["INBOX"]}'),
        (f"{GMAIL}/messages/send", b"{}"),
        (f"{GMAIL}/messages/send", b'{"raw": 7}'),
        (f"{GMAIL}/messages/send", b'{"raw": "%%%"}'),
        (f"{GMAIL}/messages/send", b'{"raw": "U3ViamVjdDogeA0KDQp4"}'),  # no recipient
        (f"{GMAIL}/labels", b"{}"),
        (f"{GMAIL}/labels", b'{"name": "inbox"}'),
        (f"{GMAIL}/labels", f'{{"name": "{LONG}"}}'.encode()),
        (f"{GMAIL}/labels", b'{"name": "x", "labelListVisibility": "sometimes"}'),
        ("/calendar/v3/freeBusy", b"{}"),
        ("/calendar/v3/freeBusy", b'{"timeMin": "2026-01-01T00:00:00", "timeMax": "2026-01-02T00:00:00Z"}'),
        ("/calendar/v3/freeBusy", b'{"timeMin": "2026-01-02T00:00:00Z", "timeMax": "2026-01-01T00:00:00Z"}'),
        ("/calendar/v3/freeBusy", b'{"timeMin": "2026-01-01T00:00:00Z", "timeMax": "2026-09-01T00:00:00Z"}'),
        ("/calendar/v3/freeBusy", b'{"timeMin": "2026-13-01T00:00:00Z", "timeMax": "2026-09-01T00:00:00Z"}'),
        (
            "/calendar/v3/freeBusy",
            b'{"timeMin": "2026-01-01T00:00:00Z", "timeMax": "2026-01-02T00:00:00Z", "timeZone": "../etc"}',
        ),
        (
            "/calendar/v3/freeBusy",
            b'{"timeMin": "2026-01-01T00:00:00Z", "timeMax": "2026-01-02T00:00:00Z", "items": "primary"}',
        ),
        ("/sandbox/deliver", b"nonsense"),
        ("/sandbox/deliver", b"{}"),
        ("/sandbox/deliver", b'{"list": "python-hebdo", "count": 0}'),
        ("/sandbox/faults", b'{"api": [{"status": 599}]}'),
        ("/sandbox/faults", b'{"api": "all"}'),
        ("/sandbox/events", b'{"start": "2026-01-01T10:00:00", "end": "2026-01-01T11:00:00"}'),
    ],
)
async def test_a_bad_body_is_a_400(desk, path, body):
    """Garbage, wrong types, values out of range."""
    before = desk.world.mailbox.history.current
    status, answer = await desk.call("POST", path, data=body)
    assert is_google_error(status, answer, 400)
    assert desk.world.mailbox.history.current == before


@pytest.mark.parametrize(
    "query",
    [
        "maxResults=many",
        "maxResults=0",
        "maxResults=-1",
        "maxResults=²",
        "pageToken=zzz",
        "labelIds=NOPE",
        "includeSpamTrash=maybe",
        "fields=a(b",
        "fields=)",
        "q=" + "x" * 9_000,
        "q=" + "(" * 200,
    ],
)
async def test_a_bad_parameter_is_a_400(desk, query):
    """messages.list, each parameter in turn."""
    url = f"{desk.sandbox.google_url}{GMAIL}/messages"
    body = query.encode()
    headers = {"X-HTTP-Method-Override": "GET", "Authorization": f"Bearer {desk.access_token}"}
    async with desk.session.post(url, data=body, headers=headers) as answer:
        assert is_google_error(answer.status, await answer.json(), 400)


@pytest.mark.parametrize(
    ("verb", "path", "code"),
    [
        ("GET", f"{GMAIL}/messages/not-an-id", 400),
        ("GET", f"{GMAIL}/messages/00000000000000ff", 404),
        ("GET", f"{GMAIL}/labels/Label_99", 404),
        ("DELETE", f"{GMAIL}/labels/INBOX", 400),
        ("GET", f"{GMAIL}/threads/ff", 404),
        ("GET", f"{GMAIL}/nothing", 404),
        ("GET", "/gmail/v1/users/someone@else.example/messages", 403),
        ("GET", "/nowhere", 404),
        ("PATCH", f"{GMAIL}/messages", 404),
    ],
)
async def test_what_is_not_there_is_said_in_googles_words(desk, verb, path, code):
    """Unknown ids, users, paths and methods."""
    assert is_google_error(*await desk.call(verb, path), code)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer nonsense", "Basic abc", "Bearer \u00e9"])
async def test_a_bad_token_is_a_401_with_a_challenge(desk, authorization):
    """Missing, unknown or of another scheme."""
    url = f"{desk.sandbox.google_url}{GMAIL}/profile"
    async with desk.session.get(url, headers={"Authorization": authorization}) as answer:
        assert is_google_error(answer.status, await answer.json(), 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


async def test_a_huge_body_is_a_413(desk):
    """Told by its length, or found while reading."""

    async def endless():
        chunk = b"x" * (1 << 20)
        for _ in range(40):
            yield chunk

    too_long = io.BytesIO(b"[" + b" " * (2 << 20) + b"]")
    assert is_google_error(*await desk.call("POST", f"{GMAIL}/labels", data=too_long), 413)
    with suppress(aiohttp.ClientConnectionError):  # closed while we still wrote: refused as well
        assert is_google_error(*await desk.call("POST", f"{GMAIL}/labels", data=endless()), 413)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "client_id": "someone"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token", "refresh_token": "1//old"}, 400, "invalid_grant"),
    ],
)
async def test_the_token_endpoint_refuses_in_the_words_of_oauth(desk, form, status, error):
    """RFC 6749 §5.2 with Google's statuses."""
    token = await desk.control("token")
    if len(form) > 1:
        form = {**{name: token[name] for name in ("client_id", "client_secret", "refresh_token")}, **form}
    async with desk.session.post(token["token_uri"], data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (status, error)
