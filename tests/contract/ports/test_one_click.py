"""What every OneClick port keeps, in memory and over real sockets."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from services.common.egress import Egress, EgressLimits
from services.common.link_safety import LinkPolicy
from services.mail_core.adapters.one_click import GuardedOneClick
from services.mail_core.domain.attempt import AttemptReason, one_click_answer_lost, one_click_answered
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.ports import OneClick
from tests.fakes.one_click import FakeOneClick
from tests.integration.mail_core.adapters import hosts


@dataclass
class Sender:
    """A sender's host, its port, and how to make it answer."""

    port: OneClick
    url: str
    answers: Callable[[int | None], None]
    count: Callable[[], int]


@pytest.fixture(params=["memory", "sockets"])
async def sender(request: pytest.FixtureRequest) -> AsyncIterator[Sender]:
    if request.param == "memory":
        yield _in_memory()
        return
    behaviour = [hosts.status(200)]

    async def behave(asked: bytes, writer) -> None:
        await behaviour[0](asked, writer)

    def answers(status: int | None) -> None:
        behaviour[0] = hosts.answering(b"") if status is None else hosts.status(status)

    egress = Egress(policy=LinkPolicy.parse("127.0.0.0/8"), limits=EgressLimits(total_s=1.0))
    async with hosts.host(behave) as host:
        url = f"http://127.0.0.1:{host.port}/u"
        yield Sender(GuardedOneClick(egress), url, answers, lambda: len(host.requests))


def _in_memory() -> Sender:
    fake, url = FakeOneClick(), "https://lists.example/u"

    def answers(status: int | None) -> None:
        fake.outcomes[url] = one_click_answer_lost() if status is None else one_click_answered(status)

    return Sender(fake, url, answers, lambda: len(fake.posted))


@pytest.mark.parametrize("status", [200, 204])
async def test_a_success_is_accepted_and_no_more(sender: Sender, status):
    """Only the sender's silence verifies."""
    sender.answers(status)
    outcome = await sender.port.post(sender.url)
    assert (outcome.state, outcome.http_status) == (SubscriptionState.ACCEPTED, status)


@pytest.mark.promise("quiet.redirects")
@pytest.mark.parametrize(
    ("status", "reason"),
    [(302, AttemptReason.REDIRECT), (404, AttemptReason.REJECTED), (500, AttemptReason.SENDER_ERROR)],
)
async def test_anything_else_failed(sender: Sender, status, reason):
    """A redirect is never a success."""
    sender.answers(status)
    outcome = await sender.port.post(sender.url)
    assert (outcome.state, outcome.reason) == (SubscriptionState.FAILED, reason)


async def test_a_lost_answer_is_unknown(sender: Sender):
    """It may have worked."""
    sender.answers(None)
    assert (await sender.port.post(sender.url)).state is SubscriptionState.UNKNOWN


async def test_one_post_is_one_request(sender: Sender):
    """Asking twice is the caller's decision alone."""
    await sender.port.post(sender.url)
    assert sender.count() == 1
