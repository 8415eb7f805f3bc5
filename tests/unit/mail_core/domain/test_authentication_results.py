"""RFC 8601 as Gmail writes it and as forgers try."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.authentication_results import (
    GMAIL_AUTHSERV_IDS,
    own_results,
    parse_authentication_results,
)
from services.mail_core.domain.message import Headers

from .mails import results


def test_gmails_field_is_read_with_its_properties():
    """Comments and quoted strings are Gmail's own."""
    parsed = parse_authentication_results(results())
    assert parsed is not None
    assert parsed.authserv_id == "mx.google.com"
    assert [(result.method, result.result) for result in parsed.results] == [
        ("dkim", "pass"),
        ("spf", "pass"),
        ("dmarc", "pass"),
    ]
    assert parsed.results[0].properties == {
        "header.i": "@news.example",
        "header.s": "k1",
        "header.b": "dGhpc0lz",
    }
    assert parsed.results[1].properties == {"smtp.mailfrom": "bounce@news.example"}


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("mx.google.com 1; dkim=pass", [("dkim", "pass", {})]),  # with a version
        ("mx.google.com; none", []),
        ("mx.google.com", []),
        ("mx.google.com; dkim/1 = pass header.d = x.example", [("dkim", "pass", {"header.d": "x.example"})]),
        ("mx.google.com; DKIM=PASS Header.D=X.example", [("dkim", "pass", {"header.d": "X.example"})]),
        # a comment that holds a result, nested, with semicolons
        (
            "mx.google.com; dkim=fail (was; dkim=pass (really)) header.d=a",
            [("dkim", "fail", {"header.d": "a"})],
        ),
        (
            'mx.google.com; spf=pass smtp.helo="a; dkim=pass"',
            [("spf", "pass", {"smtp.helo": "a; dkim=pass"})],
        ),
        ('mx.google.com; spf=pass x.y="a\\"b"', [("spf", "pass", {"x.y": 'a"b'})]),
        ('mx.google.com; spf=pass x.y="open', [("spf", "pass", {"x.y": '"open'})]),
        ("mx.google.com; dkim=pass (open; spf=pass", [("dkim", "pass", {})]),
        ("mx.google.com; a) b; dkim=pass", [("dkim", "pass", {})]),
        ("mx.google.com; dkim=neutral (a\\) b) header.s=k", [("dkim", "neutral", {"header.s": "k"})]),
    ],
)
def test_results_are_read_around_comments_and_quotes(field, found):
    """A comment never counts as a result."""
    parsed = parse_authentication_results(field)
    assert parsed is not None
    assert [(r.method, r.result, dict(r.properties)) for r in parsed.results] == found


@pytest.mark.parametrize("field", ["", ";", "(only a comment)", "   ; dkim=pass"])
def test_a_field_without_a_server_is_nobodys(field):
    """RFC 8601 section 2.2: the server's name comes first."""
    assert parse_authentication_results(field) is None


@given(st.text(alphabet=st.sampled_from('mx.google.com;dkim=pass ()"\\\r\n')) | st.text())
def test_parsing_never_raises(field):
    """Whatever a sender writes."""
    parse_authentication_results(field)


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        ([results("fail"), results("pass")], "fail"),  # a forged one below
        (["other.example; dkim=pass", results("pass")], None),  # ours is not on top
        (['"MX.Google.com"; dkim=pass'], "pass"),
        (["mx.google.com.evil.example; dkim=pass"], None),
        (["(mx.google.com) evil.example; dkim=pass"], None),
        ([], None),
    ],
)
def test_only_the_topmost_field_of_the_own_receiver_is_believed(fields, believed):
    """Every lower field may be the sender's invention (RFC 8601 section 7.1)."""
    found = own_results(Headers.of(("Authentication-Results", f) for f in fields), GMAIL_AUTHSERV_IDS)
    assert (found.results[0].result if found else None) == believed
