"""What a subscription is, what keys it, and how far ending it has come."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.addresses import Address
from services.mail_core.domain.subscription import (
    TRANSITIONS,
    KeyKind,
    SubscriptionKey,
    SubscriptionState,
    display_name,
    is_settled,
    may_become,
    sender_key,
    settle,
    subscription_key,
)

from .mails import NOON, message

S = SubscriptionState
UNSUBSCRIBE = ("List-Unsubscribe", "<mailto:stop@x.example>")
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("mail", "kind", "key"),
    [
        (message(("List-Id", "Dev <Dev.Lists.Example>")), KeyKind.LIST_ID, "dev.lists.example"),
        # one From, several lists: each is a subscription of its own
        (message(UNSUBSCRIBE, ("List-Id", "<a.x.example>")), KeyKind.LIST_ID, "a.x.example"),
        (message(UNSUBSCRIBE, sender="Shop <News@Shop.example>"), KeyKind.SENDER, "news@shop.example"),
        (message(UNSUBSCRIBE, sender="Shop <news+7f3a@shop.example>"), KeyKind.SENDER, "news@shop.example"),
        # an unreadable List-Id is no key
        (message(UNSUBSCRIBE, ("List-Id", "<>"), sender="a@x.example"), KeyKind.SENDER, "a@x.example"),
        # a discussion without List-Id is one subscription, whoever writes
        (
            message(("Mailing-List", "list z@groups.example; contact o@x.example")),
            KeyKind.SENDER,
            "z@groups.example",
        ),
        (
            message(sender='"Daily" <Online#3.19578.34-UgGTgZFN19.1@newsletter.online.example>'),
            KeyKind.SENDER,
            "daily <*@newsletter.online.example>",
        ),
    ],
)
def test_bulk_mail_is_keyed_by_list_id_then_by_sender(mail, kind, key):
    """The key stays the same from one message of a list to the next."""
    assert subscription_key(mail) == SubscriptionKey(kind, key)


@pytest.mark.parametrize(
    "mail",
    [
        message(),
        message(sender="Shop <receipts@shop.example>", subject="Your receipt", labels=("CATEGORY_UPDATES",)),
        message(sender="", labels=("CATEGORY_PROMOTIONS",)),  # bulk, but nobody's
    ],
)
def test_personal_and_transactional_mail_is_no_subscription(mail):
    """People must not show up as lists."""
    assert subscription_key(mail) is None


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (Address("", "j.smith1985@x.example"), "j.smith1985@x.example"),
        (Address("", "2.20290.44-t9bsgc0tYwDu.1@um.example"), "*@um.example"),
        (Address("News", "r-1-270241-5399979-2@x.example"), "news <*@x.example>"),
        (Address("", "a-very-long-newsletter-name@x.example"), "a-very-long-newsletter-name@x.example"),
    ],
)
def test_a_sender_made_anew_for_each_message_is_known_by_its_domain(address, key):
    """Some mail services put a token for each message before the `@`."""
    assert sender_key(address) == key


@pytest.mark.parametrize(
    ("mail", "name"),
    [
        (message(("List-Id", '"Our List" <a.x.example>')), "Our List"),
        # a phrase that software made up names nothing to a person
        (
            message(
                ("List-Id", "f4fa1b2c3d9e mc list <f4fa.list-id.mcsv.example>"), sender="Shop <a@x.example>"
            ),
            "Shop",
        ),
        (message(("List-Id", "<a.x.example>"), sender="Shop <a@x.example>"), "Shop"),
        # whoever happens to write is not the name of a discussion
        (message(("List-Id", "<dev.x.example>"), ("List-Post", "<mailto:dev@x.example>")), "dev.x.example"),
        (message(("X-BeenThere", "dev@x.example")), "dev@x.example"),
        (message(UNSUBSCRIBE, sender="news@x.example"), "news@x.example"),
        (message(UNSUBSCRIBE, sender=""), ""),
        (message(("List-Id", f"<{'a' * 250}>"), sender=""), "a" * 200),
        (message(UNSUBSCRIBE, sender=f"{'a' * 300} <a@x.example>"), "a" * 200),
    ],
)
def test_a_subscription_is_named_for_people(mail, name):
    """The list's own words first, never more than 200 characters."""
    assert display_name(mail) == name


@pytest.mark.parametrize(
    ("state", "last_seen_h", "now_h", "expected"),
    [
        (S.ACCEPTED, None, 47, S.ACCEPTED),  # too early to tell
        (S.ACCEPTED, None, 48, S.VERIFIED),
        (S.ACCEPTED, -5, 48, S.VERIFIED),  # mail from before
        (S.SENT, 0, 48, S.VERIFIED),
        (S.ACCEPTED, 40, 48, S.ACCEPTED),  # within the grace, but not silent for 48 h
        (S.ACCEPTED, 40, 88, S.VERIFIED),
        (S.ACCEPTED, 48, 60, S.ACCEPTED),  # the last moment of the grace
        (S.ACCEPTED, 49, 60, S.IGNORED),
        (S.SENT, 49, 60, S.IGNORED),
        (S.VERIFIED, 2000, 2001, S.IGNORED),  # silent for months, then back
        (S.VERIFIED, None, 2001, S.VERIFIED),
        (S.UNKNOWN, None, 2000, S.UNKNOWN),  # silence proves nothing that was not accepted
        (S.UNKNOWN, 49, 60, S.IGNORED),
        (S.CANDIDATE, 49, 60, S.CANDIDATE),
        (S.REQUESTED, 49, 60, S.REQUESTED),
        (S.FAILED, 49, 60, S.FAILED),
        (S.NEEDS_PERSON, 49, 60, S.NEEDS_PERSON),
    ],
)
def test_a_request_is_judged_by_the_senders_silence(state, last_seen_h, now_h, expected):
    """Verified only after 48 h of silence, ignored when mail still comes after 48 h."""
    last_seen = None if last_seen_h is None else NOON + last_seen_h * HOUR
    assert settle(state, NOON, last_seen, NOON + now_h * HOUR) is expected


@given(st.sampled_from(S), st.integers(-100, 300), st.integers(0, 300))
def test_settling_follows_the_transitions_and_is_stable(state, last_seen_h, now_h):
    """Judging twice gives the same, and never a step that is not allowed."""
    arguments = NOON, NOON + last_seen_h * HOUR, NOON + now_h * HOUR
    settled = settle(state, *arguments)
    assert settled is state or may_become(state, settled)
    assert settle(settled, *arguments) is settled


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (S.CANDIDATE, "", False),
        (S.REQUESTED, "", True),  # claimed: another worker may be at it
        (S.SENT, "", True),
        (S.ACCEPTED, "", True),
        (S.VERIFIED, "", True),
        (S.IGNORED, "", True),  # the sender had its request; a filter is the answer
        (S.UNKNOWN, "ANSWER_LOST", True),  # it may have acted
        (S.REFUSED, "UNSAFE_LINK", False),  # nothing was sent, a newer message may do better
        (S.NEEDS_PERSON, "", False),
        (S.FAILED, "NOT_REACHED", False),  # not a byte left
        (S.FAILED, "MAIL_NOT_SENT", False),
        (S.FAILED, "REDIRECT", True),
        (S.FAILED, "SENDER_ERROR", True),
    ],
)
def test_what_may_have_acted_is_not_asked_for_again(state, reason, expected):
    """Safe to repeat: only what cannot have reached the sender is tried again."""
    assert is_settled(state, reason) is expected


def test_transitions_are_total_and_never_lead_back_to_candidate():
    """What happened stays on record."""
    assert set(TRANSITIONS) == set(S)
    assert all(S.CANDIDATE not in following for following in TRANSITIONS.values())
    assert may_become(S.CANDIDATE, S.REQUESTED)
    assert not may_become(S.IGNORED, S.REQUESTED)


def test_what_is_not_settled_may_be_requested():
    """The two tables agree."""
    for state in S:
        if not is_settled(state, "NOT_REACHED"):
            assert may_become(state, S.REQUESTED)


def test_states_have_the_words_of_the_contract():
    """Stored words and wire words are the same but for case and prefix."""
    from protos.mail.v1 import resources_pb2

    wire = {
        name.removeprefix("SUBSCRIPTION_STATE_").lower()
        for name in list(resources_pb2.SubscriptionState.keys())
    }
    assert wire == {state.value for state in S} | {"unspecified"}
    kinds = {
        name.removeprefix("SUBSCRIPTION_KEY_KIND_").lower()
        for name in list(resources_pb2.SubscriptionKeyKind.keys())
    }
    assert kinds == {kind.value for kind in KeyKind} | {"unspecified"}
