"""What an answer to an unsubscribe request means."""

import pytest

from services.mail_core.domain import attempt
from services.mail_core.domain.attempt import EXPLANATIONS, AttemptReason
from services.mail_core.domain.subscription import SubscriptionState, is_settled, may_become

S = SubscriptionState


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (200, S.ACCEPTED, AttemptReason.ACCEPTED),  # accepted, not yet proved
        (202, S.ACCEPTED, AttemptReason.ACCEPTED),
        (204, S.ACCEPTED, AttemptReason.ACCEPTED),
        (299, S.ACCEPTED, AttemptReason.ACCEPTED),
        (301, S.FAILED, AttemptReason.REDIRECT),  # RFC 8058 forbids redirects
        (302, S.FAILED, AttemptReason.REDIRECT),
        (308, S.FAILED, AttemptReason.REDIRECT),
        (400, S.FAILED, AttemptReason.REJECTED),
        (405, S.FAILED, AttemptReason.REJECTED),
        (410, S.FAILED, AttemptReason.REJECTED),
        (429, S.FAILED, AttemptReason.REJECTED),
        (500, S.FAILED, AttemptReason.SENDER_ERROR),
        (503, S.FAILED, AttemptReason.SENDER_ERROR),
        (100, S.FAILED, AttemptReason.SENDER_ERROR),  # no final answer at all
        (999, S.FAILED, AttemptReason.SENDER_ERROR),
    ],
)
def test_only_a_2xx_is_accepted(status, state, reason):
    """A landing page, an error page and a redirect are told apart by status alone."""
    outcome = attempt.one_click_answered(status)
    assert (outcome.state, outcome.reason, outcome.http_status) == (state, reason, status)
    assert outcome.explanation == EXPLANATIONS[reason]


@pytest.mark.parametrize(
    ("outcome", "state", "may_be_tried_again"),
    [
        (attempt.one_click_not_reached(), S.FAILED, True),  # nothing was sent
        (attempt.one_click_address_refused(), S.REFUSED, True),
        (attempt.one_click_answer_lost(), S.UNKNOWN, False),  # it may have acted
        (attempt.interrupted(), S.UNKNOWN, False),
        (attempt.mail_sent(), S.SENT, False),
        (attempt.mail_not_sent(), S.FAILED, True),
    ],
)
def test_an_attempt_without_an_answer_says_what_is_known(outcome, state, may_be_tried_again):
    """Only what cannot have reached the sender may be tried again."""
    assert outcome.state is state
    assert outcome.http_status == 0
    assert is_settled(outcome.state, outcome.reason) is not may_be_tried_again
    assert may_become(S.REQUESTED, outcome.state)


def test_every_reason_has_one_sentence():
    """The table is total."""
    assert set(EXPLANATIONS) == set(AttemptReason)
    assert all(text.endswith(".") and ". " not in text for text in EXPLANATIONS.values())
