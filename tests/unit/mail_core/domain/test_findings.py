"""What a stretch of mail says about its lists, and how that adds to what is known."""

import json
from dataclasses import replace
from datetime import timedelta

from services.common.link_safety import LinkPolicy
from services.mail_core.domain.findings import findings, seen
from services.mail_core.domain.records import Subscription, plan_from_json, plan_to_json
from services.mail_core.domain.subscription import KeyKind, SubscriptionKey, SubscriptionState
from services.mail_core.domain.target import Target, target_of
from services.mail_core.domain.unsubscribe_plan import Method, Way

from .mails import NOON, message, one_click_fields

LIST = ("List-Id", "News <news.x.example>")
OLD_WAY = ("List-Unsubscribe", "<mailto:stop@x.example>")
OWNER = "me@home.example"
CLOSED = LinkPolicy()
DAY = timedelta(days=1)


def aged(mail, days):
    return replace(mail, received_at=NOON - days * DAY)


def known_as(finding):
    return Subscription(
        id="s1",
        mailbox_id="m1",
        key=finding.key,
        display_name=finding.display_name,
        sender=finding.sender,
        message_count=finding.message_count,
        first_seen_at=finding.first_seen_at,
        last_seen_at=finding.last_seen_at,
        category_counts=finding.category_counts,
        plan=finding.plan,
        target_sealed=b"known",
    )


def test_mail_is_grouped_by_list_and_judged_by_the_newest():
    """Tokens expire and headers change: only the newest message says how to end it."""
    old = aged(message(LIST, OLD_WAY, sender="Old <a@x.example>"), 9)
    new = aged(message(LIST, *one_click_fields(), sender="New <b@x.example>"), 1)
    (finding,) = findings([(new, "B"), (old, "A"), (message(), "OTHER")], CLOSED, OWNER)
    assert finding.key == SubscriptionKey(KeyKind.LIST_ID, "news.x.example")
    assert (finding.display_name, finding.sender, finding.alias) == ("News", "b@x.example", OWNER)
    assert finding.plan.method is Method.ONE_CLICK
    assert (finding.message_count, finding.category_counts) == (2, {"A": 1, "B": 1})
    assert (finding.first_seen_at, finding.last_seen_at) == (NOON - 9 * DAY, NOON - DAY)


def test_a_list_without_a_sender_is_found_too():
    """From may be missing; the List-Id is enough."""
    (finding,) = findings([(message(LIST, sender=""), "OTHER")], CLOSED, OWNER)
    assert finding.sender == ""


def test_newer_mail_updates_a_subscription_and_older_mail_only_its_counts():
    """A scan goes newest first and may find old mail after new."""
    (newest,) = findings([(aged(message(LIST, *one_click_fields()), 1), "A")], CLOSED, OWNER)
    (older,) = findings([(aged(message(LIST, OLD_WAY), 9), "B")], CLOSED, OWNER)
    grown = older.merged_into(known_as(newest), b"older")
    assert (grown.message_count, grown.category_counts) == (2, {"A": 1, "B": 1})
    assert grown.first_seen_at == NOON - 9 * DAY
    assert grown.plan.method is Method.ONE_CLICK
    renewed = newest.merged_into(known_as(older), b"newest")
    assert (grown.target_sealed, renewed.target_sealed) == (b"known", b"newest")
    assert renewed.plan.method is Method.ONE_CLICK
    assert renewed.last_seen_at == NOON - DAY
    assert renewed.state is SubscriptionState.CANDIDATE


def test_a_subscription_has_the_category_of_most_of_its_mail():
    """The first by name among equals; OTHER when nothing was counted."""
    (finding,) = findings([(message(LIST), "A")], CLOSED, OWNER)
    known = known_as(finding)
    assert replace(known, category_counts={"B": 2, "A": 2, "C": 1}).category == "A"
    assert replace(known, category_counts={}).category == "OTHER"


def test_what_is_kept_of_a_message_is_its_id_date_category_and_list():
    """Neither its words nor who wrote it."""
    kept = seen(message(LIST), "A")
    assert (kept.id, kept.received_at, kept.category) == ("18f", NOON, "A")
    assert kept.key == SubscriptionKey(KeyKind.LIST_ID, "news.x.example")
    assert seen(message(), "OTHER").key is None


def test_what_lists_show_of_a_plan_is_stored_without_what_it_needs():
    """The way alone is in plain; link, address and alias are for the sealed column, and come back."""
    for fields in (one_click_fields(), [OLD_WAY]):
        (finding,) = findings([(message(LIST, *fields), "A")], CLOSED, OWNER)
        plan = finding.plan
        stored = json.loads(json.dumps(plan_to_json(plan)))
        assert plan_from_json(stored) == Way(plan.method, plan.reason, plan.explanation)
        assert set(stored) == {"method", "reason", "explanation"}
        target = Target.of(plan, finding.alias)
        assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target
        assert target_of(target) == target_of(plan)
        assert target_of(target)
        assert (target.mailto, target.alias) == (plan.mailto, OWNER)


def test_links_and_addresses_are_in_no_repr():
    """What is logged by accident tells nothing."""
    for fields in (one_click_fields(), [OLD_WAY]):
        (finding,) = findings([(message(LIST, *fields), "A")], CLOSED, OWNER)
        told = repr(finding.plan) + repr(Target.of(finding.plan, finding.alias))
        assert not [word for word in ("https:", "stop@", OWNER) if word in told]
