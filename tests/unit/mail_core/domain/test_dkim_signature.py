"""Which fields a valid signature vouches for."""

import listunsub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.authentication_results import GMAIL_AUTHSERV_IDS
from services.mail_core.domain.dkim_signature import (
    ONE_CLICK_FIELDS,
    Coverage,
    covers_list_unsubscribe,
    parse_dkim_signature,
    parse_tags,
)
from services.mail_core.domain.message import Headers

from .mails import BOTH_FIELDS, SIGNATURE_VALUE, dkim_signature, results

WITHOUT_POST = "from:subject:list-unsubscribe"
OTHER_VALUE = "T3RoZXJTaWduYXR1cmU="


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a=1; b = 2 ;", {"a": "1", "b": "2"}),
        ("a=x=y", {"a": "x=y"}),  # only the first `=` parts name and value
        ("a=1;\r\n b=2", {"a": "1", "b": "2"}),
        ("a=", {"a": ""}),
        ("a=1; a=2", None),  # RFC 6376 section 3.2: a tag twice spoils the list
        ("a", None),
        ("=1", None),
        ("1a=1", None),
    ],
)
def test_tag_lists_are_read_strictly(text, tags):
    """RFC 6376 section 3.2."""
    assert parse_tags(text) == tags


def test_a_signature_is_read_with_folded_values():
    """`b` and `h` may hold white space anywhere."""
    parsed = parse_dkim_signature(
        dkim_signature(signed="From : List-Unsubscribe :\r\n List-Unsubscribe-POST")
    )
    assert parsed is not None
    assert parsed.value == SIGNATURE_VALUE
    assert parsed.identity == "@news.example"
    assert parsed.signed_fields == {"from"} | ONE_CLICK_FIELDS


@pytest.mark.parametrize(
    "field", ["", "v=1; d=a; s=b; b=c", "d=a; s=b; h=from; b=", "d=a; d=b; s=b; h=from; b=c"]
)
def test_a_signature_without_its_tags_is_none(field):
    """RFC 6376 section 3.5: b, d, h and s are required."""
    assert parse_dkim_signature(field) is None


@pytest.mark.parametrize(
    ("authentication", "signatures", "coverage"),
    [
        (results(), [dkim_signature()], Coverage.COVERED),
        (results(), [dkim_signature(value=OTHER_VALUE), dkim_signature()], Coverage.COVERED),  # found by b
        (results("fail"), [dkim_signature()], Coverage.NOT_VERIFIED),
        (results("neutral"), [dkim_signature()], Coverage.NOT_VERIFIED),
        ("mx.google.com; none", [dkim_signature()], Coverage.NOT_VERIFIED),
        ("evil.example; dkim=pass header.d=news.example", [dkim_signature()], Coverage.NOT_VERIFIED),
        (results(), [dkim_signature(signed=WITHOUT_POST)], Coverage.NOT_COVERING),
        (results(), [], Coverage.NOT_COVERING),  # the receiver saw a signature that we do not have
        (results(), ["garbage"], Coverage.NOT_COVERING),
        # the one that passed does not cover; the one that covers was not the one that passed
        (
            results(),
            [dkim_signature(signed=WITHOUT_POST), dkim_signature(value=OTHER_VALUE)],
            Coverage.NOT_COVERING,
        ),
        (results(properties=f"header.b={SIGNATURE_VALUE[:4]}"), [dkim_signature()], Coverage.NOT_COVERING),
        (results(properties="header.i=@other.example"), [dkim_signature()], Coverage.NOT_COVERING),
        (results(properties="header.d=news.example header.s=k2"), [dkim_signature()], Coverage.NOT_COVERING),
        (results(properties="header.d=NEWS.example"), [dkim_signature()], Coverage.COVERED),
        (results(properties="header.s=k1"), [dkim_signature()], Coverage.NOT_COVERING),  # too little said
        (results(properties=""), [dkim_signature()], Coverage.NOT_COVERING),
        # without `b`, a result that fits two signatures counts only when both cover
        (
            results(properties="header.d=news.example"),
            [dkim_signature(signed=WITHOUT_POST, value=OTHER_VALUE), dkim_signature()],
            Coverage.NOT_COVERING,
        ),
        # a short signature is named in full
        (results(properties="header.b=abc"), [dkim_signature(value="abc")], Coverage.COVERED),
    ],
)
def test_coverage_takes_a_valid_signature_over_both_fields(authentication, signatures, coverage):
    """RFC 8058 section 4; the signature is the one that the receiver named."""
    fields = [("Authentication-Results", authentication)] + [("DKIM-Signature", s) for s in signatures]
    assert covers_list_unsubscribe(Headers.of(fields), GMAIL_AUTHSERV_IDS) is coverage


def test_two_results_are_each_matched_to_their_signature():
    """Senders sign twice: for themselves and for their mail service."""
    own = f"header.i=@news.example header.b={SIGNATURE_VALUE[:8]}"
    both = f"mx.google.com; dkim=pass header.i=@esp.example header.b={OTHER_VALUE[:8]}; dkim=pass {own}"
    esp = dkim_signature(signed=WITHOUT_POST, domain="esp.example", value=OTHER_VALUE)
    fields = [("Authentication-Results", both), ("DKIM-Signature", esp), ("DKIM-Signature", dkim_signature())]
    assert covers_list_unsubscribe(Headers.of(fields), GMAIL_AUTHSERV_IDS) is Coverage.COVERED


@pytest.mark.parametrize(
    "signed", [BOTH_FIELDS, WITHOUT_POST, "from", "FROM:List-Unsubscribe : List-Unsubscribe-Post"]
)
def test_the_signed_fields_agree_with_an_independent_library(signed):
    """`listunsub` reads `h=` by the same rules."""
    parsed = parse_dkim_signature(dkim_signature(signed=signed))
    assert parsed is not None
    assert (parsed.signed_fields >= ONE_CLICK_FIELDS) == listunsub.dkim_covers(dkim_signature(signed=signed))


@given(st.text(alphabet=st.sampled_from("abdhis=;: \r\n")) | st.text())
def test_parsing_never_raises(field):
    """Whatever a sender writes."""
    parse_dkim_signature(field)
