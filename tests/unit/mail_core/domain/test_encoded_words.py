"""RFC 2047 reading that no sender can break."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.encoded_words import decode_words, unfold


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?B?w6l0w6k=?=", "été"),
        ("=?iso-8859-1?Q?Matrox_Parhelia=99?=", "Matrox Parhelia\x99"),  # `_` is a space
        ("=?UTF-8?q?a?= =?UTF-8?q?b?=", "ab"),  # white space between two words is no text
        ("=?UTF-8?B?w6k=?=\r\n =?UTF-8?B?w6k=?=", "éé"),  # also when folded
        ("=?utf-8?B?w6k?=", "é"),  # base64 without its padding
        ("=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),  # one character split over two words
        ("=?us-ascii*en?Q?hello?=", "hello"),  # RFC 2231 language tag
        ("Hi =?utf-8?Q?A?= there", "Hi A there"),
        ("=?utf-8?Q?A?= and =?iso-8859-1?Q?=E9?=", "A and é"),
        ("=?no-such-charset?Q?caf=C3=A9?=", "café"),
        ("=?utf-8?Q?=FF?=", "\ufffd"),  # bytes that the charset does not have
        ("=?utf-8?B?A?=", "A"),  # not even base64
        ("=?utf-8?Q?\ud800?=", "?"),  # half a surrogate pair
        ("=?utf-8?X?nope?=", "=?utf-8?X?nope?="),  # unknown encoding stays as it is
        ("=?utf-8?Q?open", "=?utf-8?Q?open"),
        ("=?idna?Q?=00?=", "\x00"),  # a codec that is no charset
        ("=?hex?Q?zz?=", "zz"),
        ("=?utf-7?Q?+2AA-?=", "?"),  # half a surrogate pair, spelled out
        ("=?unicode_escape?Q?=5Cud800?=", "?"),
    ],
)
def test_words_are_decoded_and_the_rest_is_kept(raw, text):
    """Known words become text; what cannot be decoded stays readable."""
    assert decode_words(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\n b", "a b"),
        ("a\n\tb", "a\tb"),
        ("a\rb\nc", "a b c"),  # bare line breaks cannot be part of a field
        ("  a  ", "a"),
    ],
)
def test_unfolding_leaves_one_line(raw, text):
    """RFC 5322 section 2.2.3."""
    assert unfold(raw) == text


@given(st.text() | st.from_regex(r"=\?[a-z0-9-]{1,8}\?[BbQq]\?[^?]{0,12}\?=( =\?.*)?"))
def test_decoding_never_raises(raw):
    """Whatever a sender writes, a reader gets text."""
    assert isinstance(decode_words(raw), str)


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna"])
def test_a_charset_of_no_mail_costs_no_time(charset):
    """A field of 64 KiB in a codec that is slow on purpose is read at once."""
    started = time.process_time()
    decode_words(f"=?{charset}?Q?{'a-' + 'zz' * 32_000}?=")
    assert time.process_time() - started < 1
