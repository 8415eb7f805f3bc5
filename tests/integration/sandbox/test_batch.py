"""The batch endpoint, seen on the wire."""

import email
import json

from tests.integration.sandbox.conftest import GMAIL


def multipart(paths, verb="GET", headers=""):
    head = "--b\r\nContent-Type: application/http\r\nContent-ID: "
    parts = [
        f"{head}<item{number}>\r\n\r\n{verb} {path}\r\n{headers}\r\n" for number, path in enumerate(paths)
    ]
    return ("\r\n".join(parts) + "\r\n--b--").encode()


async def posted(desk, body, content_type="multipart/mixed; boundary=b"):
    url = desk.sandbox.google_url + "/batch/gmail/v1"
    headers = {"Authorization": f"Bearer {desk.access_token}", "Content-Type": content_type}
    async with desk.session.post(url, data=body, headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


def answers(content_type, body):
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    found = {}
    for part in message.get_payload():
        line, _, rest = part.get_payload().partition("\r\n")
        found[part["Content-ID"]] = (int(line.split()[1]), rest)
    return found


async def test_parts_beyond_25_are_refused_one_by_one(desk):
    """Gmail runs parts at once and answers 429 to those above its limit; the batch itself is 200."""
    ids = (await desk.listed())[:40]
    status, content_type, body = await posted(desk, multipart([f"{GMAIL}/messages/{name}" for name in ids]))
    parts = answers(content_type, body)
    statuses = [parts[f"<response-item{number}>"][0] for number in range(40)]
    assert status == 200
    assert statuses == [200] * 25 + [429] * 15
    error = json.loads(parts["<response-item39>"][1].partition("\r\n\r\n")[2])["error"]
    assert error["message"] == "Too many concurrent requests for user"
    assert error["errors"][0]["reason"] == "rateLimitExceeded"


async def test_refused_parts_cost_no_quota(desk):
    """Only the 25 that ran are charged."""
    ids = (await desk.listed())[:30]
    before = desk.world.ledger.spent_units
    await posted(desk, multipart([f"{GMAIL}/messages/{name}" for name in ids]))
    assert desk.world.ledger.spent_units - before == 25 * 20


async def test_each_part_has_its_own_error(desk):
    """A part that is not found, or has a bad token, leaves the others alone."""
    good = await posted(desk, multipart([f"{GMAIL}/profile", f"{GMAIL}/messages/ffffffffffffffff"]))
    bad = await posted(desk, multipart([f"{GMAIL}/profile"], headers="Authorization: Bearer nonsense\r\n"))
    assert [status for status, _ in answers(*good[1:]).values()] == [200, 404]
    assert [status for status, _ in answers(*bad[1:]).values()] == [401]


async def test_more_than_100_parts_are_refused_whole(desk):
    """Google: "Inner request count exceeds the limit"."""
    status, _, body = await posted(desk, multipart([f"{GMAIL}/profile"] * 101))
    assert status == 400
    assert (
        json.loads(body)["error"]["message"]
        == "Inner request count exceeds the limit. Received: 101, Limit: 100"
    )


async def test_what_is_no_batch_is_a_400(desk):
    """No boundary, no parts, no request line, another media type."""
    for body, content_type in (
        (b"", "multipart/mixed; boundary=b"),
        (b"garbage", "multipart/mixed"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--", "multipart/mixed; boundary=b"),
        (b"--b\r\nContent-Type: application/http\r\n\r\n\xff\xfe\r\n--b--", "multipart/mixed; boundary=b"),
        (b"{}", "application/json"),
    ):
        status, _, answer = await posted(desk, body, content_type)
        assert (status, json.loads(answer)["error"]["code"]) == (400, 400)
