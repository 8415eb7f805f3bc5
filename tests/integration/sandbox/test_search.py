"""Gmail's search language."""

from datetime import UTC, datetime

import pytest

from services.sandbox import search
from services.sandbox.mailbox import Mailbox

NOW = datetime(2026, 9, 16, 10, 0, tzinfo=UTC)


def mail(sender, subject, body="", extra=""):
    return f"From: {sender}\r\nTo: me@sandbox.example\r\nSubject: {subject}\r\n{extra}\r\n{body}\r\n".encode()


@pytest.fixture(scope="module")
def mailbox():
    box = Mailbox("me@sandbox.example", "Me")
    box.labels.create("Veille Techno", {})
    box.add(mail("News <news@shop.example>", "Big sale"), ["INBOX", "UNREAD", "CATEGORY_PROMOTIONS"], NOW)
    box.add(mail("daily-news@shop.example", "Small sale"), ["INBOX"], datetime(2026, 9, 10, tzinfo=UTC))
    box.add(
        mail("lea@list.example", "Re: tasks", "cancel scopes", "List-ID: dev <dev.list.example>\r\n"),
        ["INBOX", "UNREAD", "Label_1"],
        datetime(2026, 8, 1, tzinfo=UTC),
    )
    box.add(mail("pills@spam.example", "sale sale"), ["SPAM"], NOW)
    box.add(mail("me@sandbox.example", "Ma réponse"), ["SENT"], datetime(2025, 1, 1, tzinfo=UTC))
    return box


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("", {"Big sale", "Small sale", "Re: tasks", "sale sale", "Ma réponse"}),
        ("in:inbox", {"Big sale", "Small sale", "Re: tasks"}),
        ("in:inbox is:unread", {"Big sale", "Re: tasks"}),
        ("from:news@shop.example", {"Big sale", "Small sale"}),  # whole words, anywhere in the field
        ("from:news@shop", {"Big sale", "Small sale"}),
        ("from:new", set()),
        ("from:(lea OR pills)", {"Re: tasks", "sale sale"}),
        ("{from:lea from:pills}", {"Re: tasks", "sale sale"}),
        ("sale -in:spam", {"Big sale", "Small sale"}),
        ('"big sale"', {"Big sale"}),
        ('subject:"sale big"', set()),
        ("-(from:shop OR in:spam)", {"Re: tasks", "Ma réponse"}),
        ("from:shop OR from:lea is:unread", {"Big sale", "Re: tasks"}),  # OR binds closer than a space
        ("label:veille-techno", {"Re: tasks"}),
        ("label:nothing-like-it", set()),
        ("list:dev.list.example", {"Re: tasks"}),
        ("category:promotions", {"Big sale"}),
        ("newer_than:7d", {"Big sale", "Small sale", "sale sale"}),
        ("older_than:1y", {"Ma réponse"}),
        ("after:2026/09/01 before:2026/09/15", {"Small sale"}),
        (f"after:{int(NOW.timestamp())}", {"Big sale", "sale sale"}),
        ("cancel scopes", {"Re: tasks"}),
        ("RÉPONSE", {"Ma réponse"}),
        ("has:userlabels", {"Re: tasks"}),
        ("has:unsubscribe", set()),
        ("in:sent to:me@sandbox.example", {"Ma réponse"}),
    ],
)
def test_a_query_finds_what_gmail_finds(mailbox, query, subjects):
    """Operators, negation, quotes, OR, grouping."""
    asked = search.parse(query, mailbox, NOW)
    assert {
        message.header("subject") for message in mailbox.newest_first() if asked.matches(message)
    } == subjects


@pytest.mark.parametrize(
    "query", ["(", ")", "((((", "OR", "a OR", "-", '"', "from:", "{a (b}", ":", "-(", "AND", "\x00"]
)
def test_a_broken_query_is_still_a_query(mailbox, query):
    """Gmail answers every text that a person may type."""
    asked = search.parse(query, mailbox, NOW)
    assert [asked.matches(message) in {True, False} for message in mailbox.newest_first()]


async def test_spam_and_trash_are_hidden_until_asked_for(desk):
    """messages.list: includeSpamTrash, or a query that names the place."""
    everything = await desk.listed(includeSpamTrash="true")
    usual = await desk.listed()
    spam = await desk.listed("in:spam")
    assert len(spam) == 6
    assert set(everything) == set(usual) | set(spam)
    assert set(await desk.listed("in:anywhere")) == set(everything)
    assert await desk.listed(labelIds="SPAM") == spam
