"""The seeded mailbox: realistic, complete, and the same on every start."""

import re

import pytest

from services.sandbox.lists import LISTS, Dkim
from services.sandbox.settings import Settings
from services.sandbox.wiring import build_world
from tests.integration.sandbox.conftest import NOW

SENDERS = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def mailbox():
    return build_world(Settings(sandbox_now=NOW), SENDERS).mailbox


def newest_of(mailbox, mailing_list):
    sender = mailing_list.senders[(mailing_list.count - 1) % len(mailing_list.senders)]
    found = (message for message in mailbox.newest_first() if f"<{sender}>" in message.header("from"))
    wanted = mailing_list.list_id or ""
    return next(message for message in found if wanted in message.header("list-id"))


def values(message, name):
    return [field.value for field in message.headers if field.name.lower() == name]


def test_two_starts_give_the_same_bytes(mailbox):
    """The generator has a fixed seed; only the present and the senders' port enter it."""
    again = build_world(Settings(sandbox_now=NOW), SENDERS).mailbox
    assert {name: item.raw for name, item in again.messages.items()} == {
        name: item.raw for name, item in mailbox.messages.items()
    }


def test_the_mailbox_has_hundreds_of_messages_of_dozens_of_lists(mailbox):
    """And none from the future."""
    assert 400 <= len(mailbox.messages) <= 500
    assert len(LISTS) >= 30
    assert max(message.internal_date_ms for message in mailbox.messages.values()) <= NOW.timestamp() * 1000


@pytest.mark.parametrize("mailing_list", LISTS, ids=lambda item: item.name)
def test_a_list_writes_the_headers_of_its_row(mailbox, mailing_list):
    """List-Id, unsubscribe fields, and the receiver's verdict on top."""
    message = newest_of(mailbox, mailing_list)
    verdict = values(message, "authentication-results")
    signature = message.header("dkim-signature")
    uris = re.findall(r"<([^>]+)>", message.header("list-unsubscribe"))
    assert len(uris) == len(mailing_list.unsubscribe)
    assert message.header("list-unsubscribe-post") == (mailing_list.post or "")
    assert verdict[0].startswith("mx.google.com;")
    assert ("dkim=pass" in verdict[0]) == (mailing_list.dkim in {Dkim.COVERS, Dkim.LACKS_POST})
    assert ("list-unsubscribe-post" in signature) == (mailing_list.dkim is not Dkim.LACKS_POST)
    assert (len(verdict) == 2) == (mailing_list.dkim is Dkim.FORGED)
    assert re.search(r"header\.b=(\S{8});", verdict[0])[1] == re.search(r"; +b=(\S{8})", signature)[1]
    assert ("SPAM" in message.labels) == mailing_list.in_spam


def test_conversations_are_threads(mailbox):
    """A reply lies in the thread of what it answers."""
    sent = mailbox.with_label("SENT")
    assert sent
    assert all(len(mailbox.thread(message.thread_id)) >= 2 for message in sent)


def test_words_that_are_not_ascii_read_back(mailbox):
    """Encoded words on the wire, plain text in the API."""
    subjects = [message.header("subject") for message in mailbox.messages.values()]
    assert not any("=?" in subject for subject in subjects)
    assert any("é" in subject for subject in subjects)
