"""Google's own client library works against the sandbox, as it does against Google."""

import asyncio
import base64
import warnings
from email.message import EmailMessage

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # google-api-core on this grpcio
    from google.auth.exceptions import RefreshError
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build
    from googleapiclient.errors import HttpError
    from googleapiclient.http import BatchHttpRequest


@pytest.fixture
async def credentials(desk):
    token = await desk.control("token")
    kept = ("refresh_token", "token_uri", "client_id", "client_secret", "scopes")
    return Credentials(None, **{name: token[name] for name in kept})


@pytest.fixture
def gmail(desk, credentials):
    options = {"api_endpoint": desk.sandbox.google_url}
    with build(
        "gmail", "v1", static_discovery=True, credentials=credentials, client_options=options
    ) as service:
        yield service


@pytest.fixture
def calendar(desk, credentials):
    options = {"api_endpoint": desk.sandbox.google_url + "/calendar/v3/"}
    with build(
        "calendar", "v3", static_discovery=True, credentials=credentials, client_options=options
    ) as service:
        yield service


async def test_every_message_is_listed_once_over_pages(desk, gmail):
    """Paging by list_next ends, repeats nothing, and the newest comes first."""

    def walk():
        messages = gmail.users().messages()
        request, pages = messages.list(userId="me", maxResults=100, includeSpamTrash=True), []
        while request is not None:
            pages.append(request.execute())
            request = messages.list_next(request, pages[-1])
        return [message["id"] for page in pages for message in page["messages"]]

    ids = await asyncio.to_thread(walk)
    assert len(ids) == len(set(ids)) == len(desk.world.mailbox.messages)
    dates = [desk.world.mailbox.messages[name].internal_date_ms for name in ids]
    assert dates == sorted(dates, reverse=True)


async def test_metadata_holds_only_the_headers_asked_for(desk, gmail):
    """metadataHeaders repeat, and `fields` cuts the answer."""
    (newest, *_) = await desk.listed("list:python-hebdo OR from:pythonhebdo")
    get = gmail.users().messages().get
    options = {"format": "metadata", "metadataHeaders": ["List-Id", "from"], "fields": "id,payload/headers"}
    message = await asyncio.to_thread(get(userId="me", id=newest, **options).execute)
    assert set(message) == {"id", "payload"}
    assert [field["name"] for field in message["payload"]["headers"]] == ["From", "List-Id"]


async def test_labels_are_made_once_and_put_on_many_messages(desk, gmail):
    """A duplicate name is 409; batchModify answers with an empty body."""
    labels, messages = gmail.users().labels(), gmail.users().messages()
    body = {"name": "VeilleTechno", "labelListVisibility": "labelShow"}
    made = await asyncio.to_thread(labels.create(userId="me", body=body).execute)
    with pytest.raises(HttpError) as refusal:
        await asyncio.to_thread(labels.create(userId="me", body={"name": "veilletechno"}).execute)
    ids = await desk.listed("from:pythonhebdo")
    change = {"ids": ids, "addLabelIds": [made["id"]], "removeLabelIds": ["INBOX"]}
    await asyncio.to_thread(messages.batchModify(userId="me", body=change).execute)
    assert refusal.value.status_code == 409
    assert sorted(await desk.listed("label:veilletechno -in:inbox")) == sorted(ids)


async def test_batches_of_the_library_get_an_answer_for_each_part(desk, gmail):
    """25 parts pass; the Content-IDs lead each answer to its request."""
    answers = {}
    batch = BatchHttpRequest(
        batch_uri=desk.sandbox.google_url + "/batch",
        callback=lambda name, answer, error: answers.__setitem__(name, answer if error is None else error),
    )
    ids = (await desk.listed())[:25]
    for name in ids:
        batch.add(gmail.users().messages().get(userId="me", id=name, format="minimal"), request_id=name)
    # A batch that has to refresh the token does so by an HTTP client that it never closes.
    await asyncio.to_thread(gmail.users().getProfile(userId="me").execute)
    await asyncio.to_thread(batch.execute)
    assert {name: answer["id"] for name, answer in answers.items()} == {name: name for name in ids}


async def test_a_sent_message_is_in_sent_and_reads_back_whole(desk, gmail):
    """messages.send takes base64url of RFC 822; format=raw gives it back."""
    mail = EmailMessage()
    mail["To"], mail["Subject"] = "friend@elsewhere.example", "Été"
    mail.set_content("Bonjour")
    body = {"raw": base64.urlsafe_b64encode(mail.as_bytes()).decode()}
    sent = await asyncio.to_thread(gmail.users().messages().send(userId="me", body=body).execute)
    get = gmail.users().messages().get(userId="me", id=sent["id"], format="raw")
    raw = base64.urlsafe_b64decode((await asyncio.to_thread(get.execute))["raw"])
    assert sent["labelIds"] == ["SENT"]
    assert raw.endswith(mail.as_bytes())
    assert (await desk.headers_of(sent["id"]))["from"] == "Camille Moreau <camille.moreau@sandbox.example>"


async def test_a_query_too_long_for_a_url_is_answered(desk, gmail):
    """The library turns a long GET into a POST with X-HTTP-Method-Override."""
    query = " ".join(f"-from:nobody{number}@nowhere.example" for number in range(120))
    request = gmail.users().messages().list(userId="me", q=query, maxResults=500)
    answer = await asyncio.to_thread(request.execute)
    assert len(answer["messages"]) == len(await desk.listed())


async def test_a_revoked_grant_is_invalid_grant(desk, gmail):
    """What a person does in their Google account ends the agent's access."""
    await desk.control("faults", {"revoke_grant": True})
    with pytest.raises(RefreshError, match="invalid_grant"):
        await asyncio.to_thread(gmail.users().getProfile(userId="me").execute)


async def test_free_busy_is_what_the_calendar_shows_as_busy(calendar):
    """Tentative and all-day events are busy, transparent and declined ones are not; overlaps merge."""
    body = {
        "timeMin": "2026-09-14T00:00:00+02:00",
        "timeMax": "2026-09-19T00:00:00+02:00",
        "timeZone": "Europe/Paris",
        "items": [{"id": "primary"}, {"id": "unknown@sandbox.example"}],
    }
    answer = await asyncio.to_thread(calendar.freebusy().query(body=body).execute)
    busy = [(item["start"][5:16], item["end"][5:16]) for item in answer["calendars"]["primary"]["busy"]]
    unknown = answer["calendars"]["unknown@sandbox.example"]
    assert unknown["errors"] == [{"domain": "global", "reason": "notFound"}]
    assert ("09-15T14:00", "09-15T16:00") in busy  # two overlapping meetings
    assert ("09-16T11:00", "09-16T12:00") in busy  # tentative
    assert ("09-18T00:00", "09-19T00:00") in busy  # all day
    assert not any(start.endswith(("T12:30", "17T16:00")) for start, _ in busy)


async def test_the_calendar_list_names_what_can_be_read(calendar):
    """The primary one and the family's; the unreadable one is not there."""
    answer = await asyncio.to_thread(calendar.calendarList().list().execute)
    assert [item.get("primary", False) for item in answer["items"]] == [True, False]
