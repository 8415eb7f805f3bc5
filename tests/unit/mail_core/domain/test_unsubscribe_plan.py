"""The best safe and proper way to end a subscription."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.link_safety import LinkPolicy
from services.mail_core.domain.mailto import Mailto
from services.mail_core.domain.message import Headers
from services.mail_core.domain.unsubscribe_plan import (
    CONSEQUENCES,
    FINDINGS,
    GMAIL,
    Method,
    PlanReason,
    Receiver,
    explain,
    plan,
)

from .mails import ONE_CLICK, dkim_signature, one_click_fields, results

CLOSED = LinkPolicy()
HTTPS = "<https://news.example/u/1>"
HTTP = "<http://news.example/u/1>"
INSIDE = "<https://10.0.0.5/u>"
MAIL = "<mailto:stop@news.example?subject=off>"
BAD_MAIL = "<mailto:stop@news.example?subject=a%0d%0aBcc:v@y.example>"


def planned(fields, labels=(), policy=CLOSED, receiver=GMAIL):
    return plan(Headers.of(fields), labels, policy, receiver)


@pytest.mark.promise("once.qualify")
def test_one_click_qualifies_when_every_condition_holds():
    """RFC 8058: one https link, the Post header, a valid signature over both fields."""
    found = planned(one_click_fields())
    assert found.method is Method.ONE_CLICK
    assert found.reason is PlanReason.ONE_CLICK_QUALIFIED
    assert found.one_click_url == "https://news.example/u/1"
    assert found.mailto is None
    assert found.web_page_url is None


def test_one_click_goes_before_the_mail_address_that_stands_first():
    """The order of the header is the sender's preference among mail and pages; one-click is ours."""
    assert planned(one_click_fields(f"{MAIL}, {HTTPS}")).method is Method.ONE_CLICK


def test_the_fragment_is_not_posted():
    """A fragment is never part of a request."""
    assert (
        planned(one_click_fields("<https://news.example/u/1#top>")).one_click_url
        == "https://news.example/u/1"
    )


LIST = ("List-Unsubscribe", HTTPS)
POST = ("List-Unsubscribe-Post", ONE_CLICK)
UNQUALIFIED = [
    # no Post header
    (one_click_fields()[:3], PlanReason.POST_HEADER_MISSING),
    # a Post header of another value
    (one_click_fields(post="foo"), PlanReason.POST_HEADER_INVALID),
    (one_click_fields(post=f"{ONE_CLICK}, more"), PlanReason.POST_HEADER_INVALID),
    # two https links
    (one_click_fields(f"{HTTPS}, <https://news.example/u/2>"), PlanReason.SEVERAL_HTTPS_LINKS),
    # https and http: RFC 8058 section 8 allows no other web link
    (one_click_fields(f"{HTTPS}, {HTTP}"), PlanReason.SEVERAL_HTTPS_LINKS),
    # either field twice
    ((*one_click_fields(), LIST), PlanReason.DUPLICATE_HEADER),
    ((*one_click_fields(), POST), PlanReason.DUPLICATE_HEADER),
    # the receiver found no valid signature
    (one_click_fields(authentication=results("fail")), PlanReason.DKIM_NOT_VERIFIED),
    (one_click_fields()[1:], PlanReason.DKIM_NOT_VERIFIED),
    # a forged result below the receiver's own
    (
        (("Authentication-Results", results("fail")), *one_click_fields()),
        PlanReason.DKIM_NOT_VERIFIED,
    ),
    # a valid signature that leaves the Post header out
    (one_click_fields(signature=dkim_signature("from:list-unsubscribe")), PlanReason.DKIM_NOT_COVERING),
]


@pytest.mark.promise("once.qualify")
@pytest.mark.parametrize(("fields", "reason"), UNQUALIFIED)
def test_what_does_not_qualify_is_never_posted_to(fields, reason):
    """One row per condition of RFC 8058; the person gets the page, and the reason."""
    found = planned(fields)
    assert found.method is Method.WEB_PAGE
    assert found.reason is reason
    assert found.one_click_url is None
    assert found.web_page_url is not None
    assert found.web_page_url.endswith("://news.example/u/1")
    assert found.explanation == explain(Method.WEB_PAGE, reason)


@pytest.mark.parametrize(("fields", "reason"), UNQUALIFIED)
def test_a_mail_address_goes_before_a_page_and_keeps_the_reason(fields, reason):
    """The reason tells why one-click did not qualify, the explanation both."""
    first = next(index for index, (name, _) in enumerate(fields) if name == "List-Unsubscribe")
    with_mail = [*fields]
    with_mail[first] = ("List-Unsubscribe", f"{fields[first][1]}, {MAIL}")
    found = planned(with_mail)
    assert found.method is Method.MAILTO
    assert found.mailto == Mailto("stop@news.example", "off")
    assert found.reason is reason
    assert FINDINGS[reason] in found.explanation
    assert CONSEQUENCES[Method.MAILTO] in found.explanation


@pytest.mark.parametrize(
    ("uris", "method", "reason"),
    [
        (MAIL, Method.MAILTO, PlanReason.MAILTO_ONLY),
        (BAD_MAIL, Method.NONE, PlanReason.MAILTO_INVALID),
        (f"{BAD_MAIL}, {MAIL}", Method.MAILTO, PlanReason.MAILTO_ONLY),  # the next one is good
        (f"{BAD_MAIL}, {HTTPS}", Method.WEB_PAGE, PlanReason.POST_HEADER_MISSING),
        (HTTP, Method.NONE, PlanReason.NOT_HTTPS),
        (f"{HTTP}, <http://news.example/u/2>", Method.NONE, PlanReason.NOT_HTTPS),
        (f"{HTTP}, {INSIDE}", Method.NONE, PlanReason.UNSAFE_LINK),
        (f"{INSIDE}, {HTTPS}", Method.WEB_PAGE, PlanReason.SEVERAL_HTTPS_LINKS),  # the safe one
        (f"{HTTP}, {MAIL}", Method.MAILTO, PlanReason.NOT_HTTPS),
        (f"{HTTP}, {HTTPS}", Method.WEB_PAGE, PlanReason.SEVERAL_HTTPS_LINKS),
        (INSIDE, Method.NONE, PlanReason.UNSAFE_LINK),
        (f"{INSIDE}, {MAIL}", Method.MAILTO, PlanReason.UNSAFE_LINK),
        (f"{INSIDE}, {BAD_MAIL}", Method.NONE, PlanReason.UNSAFE_LINK),
        (f"{INSIDE}, <http://10.0.0.6/>", Method.NONE, PlanReason.UNSAFE_LINK),
        ("<javascript:alert(1)>", Method.NONE, PlanReason.UNSAFE_LINK),
        (f"<data:text/html,x>, {BAD_MAIL}", Method.NONE, PlanReason.UNSAFE_LINK),
        ("https://news.example/u", Method.NONE, PlanReason.HEADER_UNPARSABLE),
        ("(<https://news.example/u>)", Method.NONE, PlanReason.HEADER_UNPARSABLE),
        ("", Method.NONE, PlanReason.HEADER_UNPARSABLE),
    ],
)
def test_without_one_click_the_next_safe_way_is_taken(uris, method, reason):
    """Mail, then a page for the person, then nothing; what is unsafe is never offered."""
    found = planned([("List-Unsubscribe", uris)])
    assert (found.method, found.reason) == (method, reason)
    assert (found.mailto is not None) == (method is Method.MAILTO)
    assert (found.web_page_url is not None) == (method is Method.WEB_PAGE)


def test_a_link_in_the_open_is_neither_posted_to_nor_offered():
    """Plain http: its token can be read, and its page changed, by anyone on the way."""
    found = planned(one_click_fields(HTTP))
    assert (found.method, found.reason) == (Method.NONE, PlanReason.NOT_HTTPS)
    assert found.web_page_url is None
    assert planned([("List-Unsubscribe", f"{HTTP}, {HTTPS}")]).web_page_url == "https://news.example/u/1"


def test_a_link_in_a_comment_is_never_used():
    """RFC 2369: nothing clickable is taken from comments."""
    found = planned(one_click_fields(f"(Use <https://evil.example/c> to cancel) {HTTPS}"))
    assert found.one_click_url == "https://news.example/u/1"


def test_mail_in_spam_is_left_alone():
    """An answer would confirm that someone reads the address."""
    found = planned(one_click_fields(), labels=("SPAM",))
    assert (found.method, found.reason) == (Method.NONE, PlanReason.IN_SPAM)


def test_mail_without_the_header_cannot_be_ended():
    """Bodies are never searched for links."""
    found = planned([("Subject", "Hi")])
    assert (found.method, found.reason) == (Method.NONE, PlanReason.NO_LIST_UNSUBSCRIBE)


def test_a_discussion_list_may_be_left():
    """List-Post says what a list is, not that one has to stay."""
    fields = [("List-Post", "<mailto:list@x.example>"), ("List-Unsubscribe", MAIL)]
    assert planned(fields).method is Method.MAILTO


def test_a_mail_to_oneself_is_not_an_unsubscribe():
    """A list that names its reader's own address would only make them write to themselves."""
    me = Receiver(addresses=frozenset({"Me@Home.example"}))
    found = planned([("List-Unsubscribe", "<mailto:mE@home.example>")], receiver=me)
    assert (found.method, found.reason) == (Method.NONE, PlanReason.MAILTO_INVALID)


def test_an_opened_host_may_use_http_and_any_port():
    """The sandbox's senders live on loopback; every other condition stays."""
    fields = one_click_fields("<http://127.0.0.1:8081/u/1>")
    opened = planned(fields, policy=LinkPolicy.parse("127.0.0.0/8"))
    assert (opened.method, opened.one_click_url) == (Method.ONE_CLICK, "http://127.0.0.1:8081/u/1")
    assert planned(fields).reason is PlanReason.UNSAFE_LINK
    unsigned = planned(fields[1:], policy=LinkPolicy.parse("127.0.0.0/8"))
    assert unsigned.reason is PlanReason.DKIM_NOT_VERIFIED


def test_every_reason_and_method_has_its_words():
    """Tables are total, and an explanation is one sentence."""
    assert set(FINDINGS) == set(PlanReason)
    assert set(CONSEQUENCES) == set(Method)
    for reason in PlanReason:
        for method in Method:
            sentence = explain(method, reason)
            assert sentence.endswith(".")
            assert ". " not in sentence


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["List-Unsubscribe", "List-Unsubscribe-Post", "DKIM-Signature", "Authentication-Results"]
            ),
            st.text() | st.sampled_from([HTTPS, MAIL, ONE_CLICK, results(), dkim_signature()]),
        ),
        max_size=6,
    )
)
def test_planning_never_raises_and_never_posts_unsigned(fields):
    """Whatever a sender writes."""
    found = planned(fields)
    if found.method is Method.ONE_CLICK:
        assert dict(fields)["List-Unsubscribe-Post"].strip().lower() == ONE_CLICK.lower()
        assert results() in dict(fields).values()
