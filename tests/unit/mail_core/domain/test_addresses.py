"""From and To as real mail writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.addresses import (
    Address,
    comparable_domain,
    domain_of,
    is_within,
    parse_address,
    parse_addresses,
    printable,
)


@pytest.mark.parametrize(
    ("field", "name", "email"),
    [
        ("ann@a.example", "", "ann@a.example"),
        ("Ann <ann@A.Example>", "Ann", "ann@a.example"),
        ('"Lee, Ann" <ann@a.example>', "Lee, Ann", "ann@a.example"),
        ('"Ann \\"Q\\" Lee" <ann@a.example>', 'Ann "Q" Lee', "ann@a.example"),
        ("ann@a.example (Ann Lee)", "Ann Lee", "ann@a.example"),  # the old way to give a name
        ("Ann (from (the) shop) <ann@a.example>", "Ann", "ann@a.example"),
        ("Ann<ann@a.example>", "Ann", "ann@a.example"),
        ("=?utf-8?Q?Zo=C3=A9?= <zoe@a.example>", "Zoé", "zoe@a.example"),
        # the name pretends to be an address: the bracketed one counts
        ("service@bank.example <x@evil.example>", "service@bank.example", "x@evil.example"),
        ('"service@bank.example" <x@evil.example>', "service@bank.example", "x@evil.example"),
        ("=?utf-8?Q?=3Cx=40bank.example=3E?= <x@evil.example>", "<x@bank.example>", "x@evil.example"),
        ("<a@a.example> <b@b.example>", "", "a@a.example"),  # two brackets: the first
        ('<"Books@Books"@shop.example>', "", '"Books@Books"@shop.example'),
        ("Ann <ann @ a.example>", "Ann", "ann@a.example"),
        ("Ann <ann@a.example", "Ann", "ann@a.example"),  # not closed
        ('"Ann <ann@a.example>', "", "ann@a.example"),  # a quote never closed
        ("Ann (open <ann@a.example>", "", None),  # so does an open comment
        ("undisclosed-recipients:;", "", None),
        ("friends: ann@a.example;", "", "ann@a.example"),
        ("Ann <>", "", None),
        ("Ann <ann@>", "", None),
        ("Ann <@a.example>", "", None),
        ("Ann <ann\x00@a.example>", "", None),
        ("", "", None),
        ("(\\", "", None),
        ("x@" + "a" * 300, "", None),
        ("Ann <ann@münchen.example>", "Ann", "ann@xn--mnchen-3ya.example"),
    ],
)
def test_the_first_mailbox_of_a_field_is_found(field, name, email):
    """Quoted, commented, encoded, doubled or broken: one answer each, never an error."""
    expected = None if email is None else Address(name, email)
    assert parse_address(field) == expected


def test_every_mailbox_of_a_field_is_found_in_order():
    """RFC 5322 allows several authors, and comments and commas where one does not expect them."""
    field = 'Ann <ann@a.example>, , "Bo, Jr." <bo@b.example>, cy@c.example (Cy, the third), junk'
    assert [address.email for address in parse_addresses(field)] == [
        "ann@a.example",
        "bo@b.example",
        "cy@c.example",
    ]


@given(st.text(alphabet=st.sampled_from('ab.@<>"(),;: \\\r\n=?é\x00')) | st.text())
def test_parsing_never_raises_and_gives_whole_addresses(field):
    """Garbage gives fewer mailboxes, and what it gives has both parts."""
    for address in parse_addresses(field):
        local, _, domain = address.email.rpartition("@")
        assert local
        assert domain
        assert address.name == printable(address.name)


@pytest.mark.parametrize(
    ("domain", "comparable"),
    [
        (" Example.COM. ", "example.com"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("ü" * 300, "ü" * 300),  # too long for IDNA
        ("é..example", "é..example"),  # no IDNA form: compared as it is
    ],
)
def test_domains_are_compared_in_one_form(domain, comparable):
    """Lower case, no root dot, IDNA where it exists."""
    assert comparable_domain(domain) == comparable


def test_domain_of_an_address():
    """Nothing without an `@`."""
    assert domain_of("a@b@C.example") == "c.example"
    assert domain_of("nobody") == ""
    assert Address("", "a@c.example").domain == "c.example"


def test_a_domain_is_within_itself_and_its_parents_only():
    """`notexample.com` is not below `example.com`."""
    assert is_within("example.com", "example.com")
    assert is_within("mail.example.com", "example.com")
    assert not is_within("notexample.com", "example.com")


def test_printable_text_has_no_controls_and_no_direction_tricks():
    """A name with an RTL override must not rewrite the line that shows it."""
    assert printable("a\x00b\u202ec\n  d") == "a b c d"


@pytest.mark.parametrize("field", ["a@.", "<a@ .>", "<a@..>"])
def test_domain_of_dots_is_no_domain(field):
    """Nothing is left of it in the comparable form."""
    assert parse_address(field) is None


def test_printable_text_can_be_kept():
    """Halves of surrogate pairs have no UTF-8, so that a database would refuse the name."""
    assert printable("a\ud800b") == "a b"
    assert parse_address("<a\udfff@example.com>") is None
