"""The senders' hosts: each list answers as its row says, and everything that reaches it is recorded."""

import asyncio
import base64
from email.message import EmailMessage

import aiohttp
import pytest
from yarl import URL

from services.sandbox.lists import BY_NAME, LISTS, ONE_CLICK, Answer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def link_of(desk, name):
    (newest, *_) = await desk.listed(f"in:anywhere from:{BY_NAME[name].senders[0]}")
    header = (await desk.headers_of(newest))["list-unsubscribe"]
    return URL(next(uri for uri in header.strip("<>").split(">,<") if uri.startswith("http")), encoded=True)


async def one_click(desk, name, **options):
    url = await link_of(desk, name)
    options = {"data": ONE_CLICK, "headers": FORM, "allow_redirects": False, **options}
    async with desk.session.post(url, **options) as answer:
        return answer.status, await answer.content.read(2_000)


async def send(desk, to, subject=""):
    mail = EmailMessage()
    mail["To"], mail["Subject"] = to, subject
    mail.set_content("")
    body = {"raw": base64.urlsafe_b64encode(mail.as_bytes()).decode()}
    status, answer = await desk.gmail("POST", "/messages/send", json=body)
    assert status == 200, answer


@pytest.mark.parametrize(
    ("name", "status", "is_ended"),
    [
        ("python-hebdo", 200, True),
        ("rustacean-notebook", 202, True),
        ("gadget-galaxy", 200, True),
        ("mega-catalogue", 200, True),
        ("data-digest", 200, True),
        ("flash-ventes", 200, False),
        ("maison-jardin", 200, False),
        ("voyage-malin", 302, False),
        ("coupon-corner", 410, False),
        ("fit-forge", 500, False),
    ],
)
async def test_a_host_answers_as_its_row_says(desk, name, status, is_ended):
    """Status, and whether the list is over."""
    answered, _ = await one_click(desk, name)
    assert (answered, await desk.is_ended(name)) == (status, is_ended)


async def test_an_ended_list_sends_no_more(desk):
    """One that ignores the request goes on."""
    await one_click(desk, "python-hebdo")
    await one_click(desk, "flash-ventes")
    ended = await desk.control("deliver", {"list": "python-hebdo", "count": 3})
    ignoring = await desk.control("deliver", {"list": "flash-ventes", "count": 3})
    assert (len(ended["delivered"]), len(ignoring["delivered"])) == (0, 3)


async def test_multipart_is_understood_except_where_it_is_refused(desk):
    """RFC 8058 §3.2 prefers multipart; one host knows only urlencoded forms."""
    boundary = "----x"
    field = 'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click'
    body = f"--{boundary}\r\n{field}\r\n--{boundary}--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    taken = await one_click(desk, "python-hebdo", data=body.encode(), headers=headers)
    refused = await one_click(desk, "data-digest", data=body.encode(), headers=headers)
    assert (taken[0], refused[0]) == (200, 415)
    assert await desk.is_ended("python-hebdo")
    assert not await desk.is_ended("data-digest")


async def test_looking_at_a_page_ends_nothing(desk):
    """A GET shows a button; only the button's POST leaves the list."""
    url = await link_of(desk, "musee-agenda")
    async with desk.session.get(url) as page:
        shown = await page.text()
    looked = await desk.is_ended("musee-agenda")
    async with desk.session.post(url, data={"confirm": "yes"}) as done:
        left = await done.text()
    assert "<form" in shown
    assert not looked
    assert "You have left" in left
    assert await desk.is_ended("musee-agenda")


async def test_a_request_without_the_right_body_or_token_ends_nothing(desk):
    """400 and 404; both are recorded."""
    wrong_body = await one_click(desk, "python-hebdo", data="List-Unsubscribe=Yes")
    url = (await link_of(desk, "python-hebdo")).with_query(token="guess")
    async with desk.session.post(url, data=ONE_CLICK, headers=FORM) as answer:
        wrong_token = answer.status
    recorded = (await desk.control("requests?list=python-hebdo"))["requests"]
    assert (wrong_body[0], wrong_token) == (400, 404)
    assert [item["ended"] for item in recorded] == [False, False]


async def test_every_request_is_recorded_as_it_came(desk):
    """Method, target, headers, body, time: what a test of a careful client looks at."""
    url = await link_of(desk, "python-hebdo")
    await one_click(desk, "python-hebdo", headers={**FORM, "Traceparent": "leak"})
    (recorded,) = (await desk.control("requests"))["requests"]
    assert (recorded["kind"], recorded["method"], recorded["body"]) == ("http", "POST", ONE_CLICK)
    assert (recorded["list"], recorded["target"]) == ("python-hebdo", url.raw_path_qs)
    assert ("traceparent", "leak") in [(name.lower(), value) for name, value in recorded["headers"]]
    assert recorded["time"].startswith("2026-09-16T10:00:")


async def test_a_host_may_act_and_drop_the_connection(desk):
    """The answer is lost, the list is over."""
    with pytest.raises(aiohttp.ClientError):
        await one_click(desk, "sneaker-drops")
    assert await desk.is_ended("sneaker-drops")
    assert len((await desk.control("requests"))["requests"]) == 1


async def test_a_host_may_never_come_to_an_end(desk):
    """A status line, and then a header that grows by a byte now and then: there is no answer to judge."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await one_click(desk, "slow-travel")
    assert not await desk.is_ended("slow-travel")


async def test_a_held_host_records_and_waits_until_released(desk):
    """So a client can be killed between the sender's acting and its answer."""
    await desk.control("faults", {"hold_senders": ["python-hebdo"]})
    waiting = asyncio.create_task(one_click(desk, "python-hebdo"))
    await desk.control("requests?count=1&wait_s=5")
    was_answered = waiting.done()
    await desk.control("faults", {"release_senders": ["*"]})
    assert not was_answered
    assert (await waiting)[0] == 200


@pytest.mark.parametrize(
    ("name", "to", "subject"),
    [
        ("aio-dev", "aio-dev-request@lists.hackers.example", "unsubscribe"),
        ("quartier-velo", "quartier-velo-leave@listes.quartier.example", "anything"),
        ("postgres-planet", "leave@postgresplanet.example", "unsubscribe {token}"),
        ("jardinage-facile", "stop+{token}@jardinagefacile.example", "arrêt+{token}"),
        ("design-dispatch", "off+{token}@designdispatch.example", "unsubscribe"),
    ],
)
async def test_a_mail_to_the_robot_ends_the_list(desk, name, to, subject):
    """Address and subject count, percent-decoded; `+` stands for itself (RFC 6068)."""
    (newest, *_) = await desk.listed(f"from:{BY_NAME[name].senders[0]}")
    header = (await desk.headers_of(newest))["list-unsubscribe"]
    found = [
        word for word in header.replace("%2B", "+").replace("%20", "+").replace("=", "+").split("+") if word
    ]
    token = next((word[:20] for word in found if word[:20].isalnum() and len(word) >= 20), "")
    await send(desk, to.format(token=token), subject.format(token=token))
    (recorded,) = (await desk.control("requests"))["requests"]
    assert await desk.is_ended(name)
    assert (recorded["kind"], recorded["list"], recorded["ended"]) == ("mail", name, True)


@pytest.mark.parametrize("subject", ["unsubscribe", "unsubscribe%20token", "arrêt token"])
async def test_a_mail_that_lost_its_token_is_recorded_and_ends_nothing(desk, subject):
    """Which is what happens to clients that decode wrongly."""
    await send(desk, "leave@postgresplanet.example", subject)
    (recorded,) = (await desk.control("requests"))["requests"]
    assert (recorded["list"], recorded["ended"]) == (None, False)


def test_every_kind_of_host_has_a_list():
    """No behaviour stands unused."""
    assert {item.answer for item in LISTS} == set(Answer)
