"""One-click over real sockets: what is sent, how often, and what each answer means."""

from email import message_from_bytes, policy

import pytest

from services.common.egress import Egress, EgressLimits
from services.common.link_safety import LinkPolicy
from services.mail_core.adapters.one_click import GuardedOneClick
from services.mail_core.domain.attempt import AttemptReason
from services.mail_core.domain.subscription import SubscriptionState
from tests.integration.mail_core.adapters import hosts

LOOPBACK = LinkPolicy.parse("127.0.0.0/8")


def one_click(policy: LinkPolicy = LOOPBACK) -> GuardedOneClick:
    return GuardedOneClick(Egress(policy=policy, limits=EgressLimits(total_s=1.0)))


async def test_the_request_is_the_multipart_form_of_the_standard():
    """RFC 8058 §3.2: POST, multipart/form-data, List-Unsubscribe=One-Click, and nothing else."""
    async with hosts.host(hosts.status(200)) as host:
        await one_click().post(f"http://127.0.0.1:{host.port}/u?t=1")
    head, _, body = host.only_request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /u?t=1 HTTP/1.1\r\n")
    kind = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-type"))
    form = message_from_bytes(kind + b"\r\n\r\n" + body, policy=policy.HTTP)
    (field,) = form.iter_parts()
    assert form.get_content_type() == "multipart/form-data"
    assert field["Content-Disposition"].params["name"] == "List-Unsubscribe"
    assert field.get_payload() == "One-Click"


@pytest.mark.promise("quiet.redirects")
@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (200, SubscriptionState.ACCEPTED, AttemptReason.ACCEPTED),
        (202, SubscriptionState.ACCEPTED, AttemptReason.ACCEPTED),
        (204, SubscriptionState.ACCEPTED, AttemptReason.ACCEPTED),
        (302, SubscriptionState.FAILED, AttemptReason.REDIRECT),
        (307, SubscriptionState.FAILED, AttemptReason.REDIRECT),
        (401, SubscriptionState.FAILED, AttemptReason.REJECTED),
        (405, SubscriptionState.FAILED, AttemptReason.REJECTED),
        (500, SubscriptionState.FAILED, AttemptReason.SENDER_ERROR),
        (503, SubscriptionState.FAILED, AttemptReason.SENDER_ERROR),
    ],
)
async def test_one_answer_ends_the_attempt(code, state, reason):
    """No second request, no GET, no other host, whatever the answer (traps part 3, 1 and 5)."""
    async with hosts.host(hosts.status(code, "Location: http://127.0.0.1:1/")) as host:
        outcome = await one_click().post(f"http://127.0.0.1:{host.port}/u")
    assert (outcome.state, outcome.reason, outcome.http_status) == (state, reason, code)
    assert len(host.requests) == 1


async def test_a_host_that_does_not_know_multipart_is_asked_once_more_in_the_other_encoding():
    """415 says that the body was not understood, so nothing was done; RFC 8058 allows urlencoded too."""
    answers = [hosts.status(415), hosts.status(200)]

    async def behave(request, writer) -> None:
        await answers.pop(0)(request, writer)

    async with hosts.host(behave) as host:
        outcome = await one_click().post(f"http://127.0.0.1:{host.port}/u")
    assert outcome.state is SubscriptionState.ACCEPTED
    first, second = host.requests
    assert b"multipart/form-data" in first
    assert b"application/x-www-form-urlencoded" in second
    assert second.endswith(b"\r\n\r\nList-Unsubscribe=One-Click")


async def test_a_host_that_knows_neither_encoding_is_left_alone():
    """Two encodings, two requests, no third."""
    async with hosts.host(hosts.status(415)) as host:
        outcome = await one_click().post(f"http://127.0.0.1:{host.port}/u")
    assert (outcome.reason, len(host.requests)) == (AttemptReason.REJECTED, 2)


@pytest.mark.promise("once.unknown")
async def test_a_lost_answer_is_unknown_and_not_repeated():
    """The host may have acted before it hung up."""

    async def hang_up(_request, _writer) -> None:
        return

    async with hosts.host(hang_up) as host:
        outcome = await one_click().post(f"http://127.0.0.1:{host.port}/u")
    assert (outcome.state, outcome.reason) == (SubscriptionState.UNKNOWN, AttemptReason.ANSWER_LOST)
    assert len(host.requests) == 1


async def test_a_second_encoding_whose_answer_is_lost_is_unknown():
    """The outcome is that of the request that may have acted."""
    answers = [hosts.status(415), hosts.answering(b"")]

    async def behave(request, writer) -> None:
        await answers.pop(0)(request, writer)

    async with hosts.host(behave) as host:
        outcome = await one_click().post(f"http://127.0.0.1:{host.port}/u")
    assert outcome.state is SubscriptionState.UNKNOWN


async def test_a_host_that_cannot_be_reached_may_be_tried_again():
    """Nothing was sent."""
    outcome = await one_click().post("http://127.0.0.1:1/u")
    assert (outcome.state, outcome.reason) == (SubscriptionState.FAILED, AttemptReason.NOT_REACHED)


async def test_an_address_that_is_not_public_is_refused():
    """The guard has the last word, whatever was judged when the mail was read."""
    outcome = await one_click(LinkPolicy()).post("https://127.0.0.1/u")
    assert (outcome.state, outcome.reason) == (SubscriptionState.REFUSED, AttemptReason.ADDRESS_REFUSED)
