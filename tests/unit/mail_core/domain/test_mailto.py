"""`mailto:` URIs reduced to one safe mail."""

import listunsub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.mailto import Mailto, MailtoProblem, parse_mailto


@pytest.mark.parametrize(
    ("uri", "mailto"),
    [
        ("mailto:u@x.example", Mailto("u@x.example", "unsubscribe", "")),  # a mail must say something
        ("MAILTO:u@X.Example?SUBJECT=stop", Mailto("u@x.example", "stop", "")),
        ("mailto:u%40x.example", Mailto("u@x.example")),  # decoded, not bounced
        ("mailto:?to=u@x.example&subject=off", Mailto("u@x.example", "off")),
        ("mailto:u@x.example?to=u@x.example", Mailto("u@x.example")),  # the same twice is one
        ("mailto:u+token@x.example?subject=a+b", Mailto("u+token@x.example", "a+b")),  # `+` is literal
        ("mailto:u@x.example?subject=a%20b%2Bc", Mailto("u@x.example", "a b+c")),
        ("mailto:u@x.example?subject=caf%C3%A9", Mailto("u@x.example", "café")),
        ("mailto:u@x.example?subject=a&amp;body=b", Mailto("u@x.example", "a", "b")),  # HTML in a header
        ("mailto:u@x.example?subject=a&subject=b", Mailto("u@x.example", "a")),
        ("mailto:u@x.example?cc=v@y.example&bcc=w@z.example&x-a=b&subject=s", Mailto("u@x.example", "s")),
        ("mailto:u@x.example?body=one%0D%0Atwo", Mailto("u@x.example", "unsubscribe", "one\ntwo")),
        ("mailto:u@x.example?subject=a#frag", Mailto("u@x.example", "a")),
        ("mailto:u@x.example?subject", Mailto("u@x.example")),
        ("mailto:u@münchen.example", Mailto("u@xn--mnchen-3ya.example")),
        ("mailto:%22@x.example", MailtoProblem.RECIPIENT_INVALID),
        ("mailto:", MailtoProblem.NO_RECIPIENT),
        ("mailto:?subject=a", MailtoProblem.NO_RECIPIENT),
        ("mailto:nobody", MailtoProblem.RECIPIENT_INVALID),
        ("mailto:u@localhost", MailtoProblem.RECIPIENT_INVALID),
        ("mailto:u@[127.0.0.1]", MailtoProblem.RECIPIENT_INVALID),
        ("mailto:u@127.0.0.1", MailtoProblem.RECIPIENT_INVALID),
        ("mailto:a%2Cb@x.example", MailtoProblem.RECIPIENT_INVALID),  # a comma that was no separator
        ("mailto:a@x.example,b@x.example", MailtoProblem.SEVERAL_RECIPIENTS),
        ("mailto:a@x.example?to=b@x.example", MailtoProblem.SEVERAL_RECIPIENTS),
        ("mailto:" + ",".join(f"u{n}@x.example" for n in range(50)), MailtoProblem.SEVERAL_RECIPIENTS),
        ("mailto:u@x.example?subject=a%0d%0aBcc:%20v@y.example", MailtoProblem.CONTROL_CHARACTER),
        ("mailto:u@x.example?subject=a%0ABcc:v@y.example", MailtoProblem.CONTROL_CHARACTER),
        ("mailto:u@x.example%0d%0aBcc:v@y.example", MailtoProblem.CONTROL_CHARACTER),
        ("mailto:u@x.example?subject=a%E2%80%A8b", MailtoProblem.CONTROL_CHARACTER),  # a line separator
        ("mailto:u@x.example?body=%00", MailtoProblem.CONTROL_CHARACTER),
        ("mailto:u@x.example?body=a%0Db", MailtoProblem.CONTROL_CHARACTER),  # a bare CR
        ("mailto:u@x.example?subject=%FF", MailtoProblem.NOT_UTF8),
        ("mailto:u@x.example?subject=" + "a" * 600, MailtoProblem.TOO_LONG),
        ("mailto:u@x.example?body=" + "a" * 5000, MailtoProblem.TOO_LONG),
        ("mailto:u@x.example?body=" + "a" * 20_000, MailtoProblem.TOO_LONG),
        ("mailto:u@" + "a." * 130 + "example", MailtoProblem.TOO_LONG),
        ("https://x.example", MailtoProblem.NOT_MAILTO),
    ],
)
def test_a_mailto_gives_one_safe_mail_or_a_reason(uri, mailto):
    """RFC 6068, and nothing that could add a recipient or a header."""
    assert parse_mailto(uri) == mailto


WORDS = st.text(alphabet=st.sampled_from("abc+-._~ %&=?,@éß\r\n\x00:;"), max_size=12)


@pytest.mark.promise("once.mailto")
@given(WORDS, WORDS, st.sampled_from(["subject", "Subject", "body", "cc", "to"]))
def test_parsing_never_raises_and_never_lets_a_line_break_into_a_header(path, value, name):
    """Whatever a sender writes, To and Subject stay on one line."""
    mailto = parse_mailto(f"mailto:{path}?{name}={value}")
    if isinstance(mailto, Mailto):
        assert mailto.recipient.isascii()
        assert mailto.recipient.isprintable()
        assert not set(mailto.subject) & set("\r\n\x00")


@given(
    st.from_regex(
        r"mailto:[a-c]{1,3}(%40|@)x\.example(\?(subject|body)=[a-c+]{1,3}(%20[a-c]{1,2})?)?", fullmatch=True
    )
)
def test_accepted_mails_agree_with_an_independent_library(uri):
    """`listunsub` decodes the same recipient, subject and body."""
    theirs, ours = listunsub.parse_mailto(uri), parse_mailto(uri)
    assert isinstance(ours, Mailto)
    assert (ours.recipient,) == theirs.to
    assert (ours.subject, ours.body) == (theirs.subject or "unsubscribe", theirs.body or "")
