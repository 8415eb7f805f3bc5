"""Headers as an ordered multi-map, and what a message says of itself."""

from services.mail_core.domain.addresses import Address
from services.mail_core.domain.message import METADATA_HEADERS, Headers

from .mails import message


def test_headers_match_names_without_case_and_keep_their_order():
    """The topmost field of a name is the newest: receivers add on top."""
    headers = Headers.of([("Received", "b"), ("SUBJECT", "Hi"), ("received", "a")])
    assert headers.get("RECEIVED") == "b"
    assert headers.get_all("received") == ("b", "a")
    assert headers.get("X-None") is None
    assert headers.get_all("X-None") == ()
    assert "subject" in headers
    assert "x-none" not in headers
    assert list(headers) == [("Received", "b"), ("SUBJECT", "Hi"), ("received", "a")]


def test_headers_with_the_same_fields_are_equal():
    """The index is no part of the value."""
    assert Headers.of([("A", "1")]) == Headers((("A", "1"),))
    assert hash(Headers.of([("A", "1")])) == hash(Headers((("A", "1"),)))
    assert "_by_name" not in repr(Headers())


def test_a_message_reads_its_subject_and_sender():
    """Decoded, on one line."""
    mail = message(sender="=?utf-8?Q?Zo=C3=A9?= <zoe@A.example>", subject="=?utf-8?Q?a=0Ab?=")
    assert mail.subject == "a b"
    assert mail.sender == Address("Zoé", "zoe@a.example")


def test_a_message_without_subject_or_sender_is_no_error():
    """Gmail has such messages."""
    mail = message(sender="")
    bare = type(mail)(mail.id, mail.thread_id, mail.received_at, frozenset(), Headers())
    assert bare.subject == ""
    assert bare.sender is None
    assert bare.size == 0


def test_a_scan_asks_for_each_header_once():
    """A name asked for twice would come back twice."""
    assert len({name.lower() for name in METADATA_HEADERS}) == len(METADATA_HEADERS)
