"""RFC 2369 and RFC 2919 by their client rules, checked against an independent library where it applies."""

import listunsub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.list_unsubscribe import (
    ListId,
    is_one_click,
    list_id,
    parse_uris,
    scheme_of,
)

FIELDS = [
    ("<https://x.example/u>", ("https://x.example/u",)),
    ("<mailto:a@x.example>, <https://x.example/u>", ("mailto:a@x.example", "https://x.example/u")),
    # nothing is taken from comments, not even what looks like a link
    ("(Use <https://evil.example/c> to cancel) <https://x.example/u>", ("https://x.example/u",)),
    ("(a (nested \\) one) b) <https://x.example/u> (end)", ("https://x.example/u",)),
    ("<https://x.example/u> <https://y.example/u>", ("https://x.example/u",)),  # stop: no comma
    ("<https://x.example/u> or write, <mailto:a@x.example>", ("https://x.example/u",)),
    ("https://x.example/u", ()),  # not bracketed: ignored
    ("Unsubscribe: <https://x.example/u>", ()),
    ("<https://x.example/a\r\n b?t=1>", ("https://x.example/ab?t=1",)),  # folded within the brackets
    ("<https://x.example/a,b>,<mailto:a@x.example>", ("https://x.example/a,b", "mailto:a@x.example")),
    ("<https://x.example/u>,, <mailto:a@x.example>", ("https://x.example/u", "mailto:a@x.example")),
    ("<https://x.example/u>, ", ("https://x.example/u",)),
    ("<>, <mailto:a@x.example>", ("mailto:a@x.example",)),
    ("<https://x.example/u", ()),  # never closed
    ("<https://x.example/<u>", ()),  # opened twice
    ("(never closed <https://x.example/u>", ()),
    ("(ends in a backslash \\", ()),
    ("", ()),
]


@pytest.mark.parametrize(("field", "uris"), FIELDS)
def test_uris_are_read_by_the_client_rules(field, uris):
    """RFC 2369 section 2."""
    assert parse_uris(field) == uris


@given(st.text(alphabet=st.sampled_from("<>(),\\ \r\n\tahtps:/x.@")))
def test_reading_agrees_with_an_independent_library(field):
    """`listunsub` reads fields by the same rules; only white space inside brackets differs in kind."""
    assert parse_uris(field) == tuple(listunsub.parse(field))[:16]


@given(st.text())
def test_reading_never_raises(field):
    """Whatever a sender writes."""
    for uri in parse_uris(field):
        assert not set(uri) & set("<>\r\n\t ")


def test_a_field_of_a_thousand_links_is_cut():
    """Bounded work for a hostile field."""
    assert len(parse_uris(", ".join(f"<https://x.example/{n}>" for n in range(1000)))) == 16


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("List-Unsubscribe=One-Click", True),
        ("list-unsubscribe=one-click", True),  # ABNF strings have no case
        ("  List-Unsubscribe=One-Click ", True),
        ("List-Unsubscribe=\r\n One-Click", True),  # folded
        ("List-Unsubscribe=One-Click, other", False),
        ("foo", False),
        ("", False),
        ("List-Unsubscribe=One-Click=", False),
    ],
)
def test_the_post_header_has_one_value(value, is_valid):
    """RFC 8058 section 8.1."""
    assert is_one_click(value) is is_valid


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("<list.example.com>", ListId("", "list.example.com")),
        ("Our List <List.Example.COM>", ListId("Our List", "list.example.com")),
        ('"Our \\"best\\" List" <a.example>', ListId('Our "best" List', "a.example")),
        ("=?utf-8?Q?Caf=C3=A9?= <cafe.example>", ListId("Café", "cafe.example")),
        ("Folded\r\n\tname <a.example>", ListId("Folded name", "a.example")),
        ("One <two> <three.example>", ListId("One <two>", "three.example")),  # the last brackets count
        ("<a.example> (a comment)", ListId("", "a.example")),
        ("a.example", ListId("", "a.example")),  # brackets forgotten
        ("just words", None),
        ("<>", None),
        ("<a\x00b>", None),
        ("a\x00.example", None),  # nor without brackets
        ("<a\ud800.example>", None),
        ("<" + "a" * 300 + ">", None),
        ("a." * 200, None),
        ("", None),
        (None, None),
    ],
)
def test_list_ids_are_read_with_their_phrase(field, expected):
    """RFC 2919 section 3; lower case, since it is a key."""
    assert list_id(field) == expected


@given(st.text(alphabet=st.sampled_from('<>().a"\\ =?\r\n')) | st.text())
def test_reading_a_list_id_never_raises(field):
    """Whatever a sender writes."""
    assert list_id(field) is None or isinstance(list_id(field), ListId)


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [("HTTPS://x", "https"), ("mailto:a", "mailto"), ("//x", ""), ("1x:y", ""), ("", "")],
)
def test_schemes_are_lower_case(uri, scheme):
    """RFC 3986 section 3.1."""
    assert scheme_of(uri) == scheme
