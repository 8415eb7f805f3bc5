"""The mail that ends a subscription."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from services.mail_core.domain.ids import AttemptId
from services.mail_core.domain.mailto import Mailto, parse_mailto
from services.mail_core.domain.message import Headers
from services.mail_core.domain.unsubscribe_mail import alias_for, compose

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
ATTEMPT = AttemptId("0b1c")


def sent(mailto: Mailto, sender: str = "owner@example.com"):
    return message_from_bytes(
        compose(mailto, sender, ATTEMPT, AT).as_bytes(policy=policy.SMTP), policy=policy.default
    )


def test_the_mail_says_what_the_list_asked_for():
    """Exact recipient, subject and body, one recipient, from the owner's address (traps part 3, 7)."""
    mail = sent(Mailto("leave+token@lists.example", "remove me+now", "line one\nline two"))
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "owner@example.com",
        "leave+token@lists.example",
        "remove me+now",
    )
    assert mail.get_content().splitlines() == ["line one", "line two"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == AT
    assert (mail["Cc"], mail["Bcc"], mail["Reply-To"]) == (None, None, None)


def test_the_same_attempt_makes_the_same_message_id():
    """A mail whose sending is in doubt can be looked for."""
    mailto = Mailto("leave@lists.example")
    first, second = (compose(mailto, "owner@example.com", ATTEMPT, AT)["Message-ID"] for _ in range(2))
    assert first == second == "<unsubscribe.0b1c@example.com>"
    assert compose(mailto, "owner@example.com", AttemptId("other"), AT)["Message-ID"] != first


def test_subjects_and_bodies_of_any_language_survive():
    """Text beyond ASCII is encoded, not lost."""
    mail = sent(Mailto("leave@lists.example", "désabonnement 🙂", "Bitte löschen"))
    assert (mail["Subject"], mail.get_content().strip()) == ("désabonnement 🙂", "Bitte löschen")


@pytest.mark.parametrize(
    "mailto",
    [
        Mailto("a@b.example\r\nBcc: v@c.example"),
        Mailto("a@b.example", "x\r\nBcc: v@c.example"),
        Mailto("a@b.example, v@c.example"),
    ],
)
def test_nothing_breaks_out_of_a_header(mailto):
    """Should a parser ever let a line break or a second recipient through, composing does not."""
    with pytest.raises(ValueError, match=r"."):
        compose(mailto, "owner@example.com", ATTEMPT, AT)


def test_a_parsed_link_composes():
    """What the parser accepts can be sent."""
    mailto = parse_mailto("mailto:leave%2Bx@lists.example?subject=unsubscribe%20a+b&cc=v@c.example")
    assert isinstance(mailto, Mailto)
    mail = sent(mailto)
    assert (mail["To"], mail["Subject"], mail["Cc"]) == ("leave+x@lists.example", "unsubscribe a+b", None)


@pytest.mark.parametrize(
    ("to", "delivered_to", "expected"),
    [
        ("jo.doe+news@gmail.com", "jodoe@gmail.com", "jo.doe+news@gmail.com"),
        ("Jo Doe <JO.DOE@googlemail.com>", None, "JO.DOE@googlemail.com"),
        ("list@lists.example", "jodoe+x@gmail.com", "jodoe+x@gmail.com"),
        ("list@lists.example", None, "jodoe@gmail.com"),
        ("someone@example.com, jodoe@gmail.com", None, "jodoe@gmail.com"),
        ("undisclosed-recipients:;", None, "jodoe@gmail.com"),
        ("jo@work.example", None, "jo@work.example"),
        ("jo.doe@work.example", None, "jodoe@gmail.com"),
    ],
)
def test_the_mail_comes_from_the_address_that_the_list_knows(to, delivered_to, expected):
    """An alias counts when it is the owner's; any other name in To does not."""
    fields = [("To", to)] + ([("Delivered-To", delivered_to)] if delivered_to else [])
    assert alias_for(Headers.of(fields), "jodoe@gmail.com", ["jo@work.example"]) == expected
