"""Importing real mail: everything comes in, as it is."""

import base64

import pytest

from services.sandbox.corpus import read_messages, split_mbox
from services.sandbox.settings import Settings
from services.sandbox.wiring import build_world
from tests.integration.sandbox.conftest import NOW

PLAIN = b"From: a@x.example\nSubject: one\nDate: Thu, 22 Aug 2002 08:17:21 -0400\n\nhello\n"
ODD = {
    "latin.eml": b"From: J\xe9r\xf4me <j@x.example>\nSubject: caf\xe9\n\n\xe9\n",
    "no-date.eml": b"From: b@x.example\nReceived: from y; Thu, 22 Aug 2002 07:00:00 -0000\n\nx\n",
    "bad-date.eml": b"From: c@x.example\nDate: Mon, 99 Foo 20022 99:99:99 -9999\n\nbody\n",
    "future.eml": b"From: d@x.example\nDate: Tue, 19 Jan 2038 03:14:07 +0000\n\nbody\n",
    "bad-charset.eml": b"From: e@x.example\nContent-Type: text/plain; charset=no-such\n"
    b"Content-Transfer-Encoding: base64\n\n!!not base64!!\n",
    "bad-words.eml": b"Subject: =?utf-8?B?////?= =?x-none?Q?=ff?=\n\nbody\n",
    "bad-base64.eml": b"From: =?utf-8?b?ab==?= <g@x.example>\nSubject: =?idna?b?a?=\n\n",
    "bad-name.eml": b"Content-Disposition: attachment; filename*=utf-8''%ff; filename*0*=x\n\nbody\n",
    "bad-boundary.eml": b"Content-Type: multipart/mixed; boundary*=a; boundary*0*=b\n\nbody\n",
    "bad-mime.eml": b"Content-Type: multipart/mixed; boundary=\n\n--\nxx\n",
    "envelope.eml": b"From c@x.example Thu Aug 22 08:17:21 2002\nFrom: f@x.example\nSubject: enveloped\n\n",
    "no-header.eml": b"\nonly a body\n",
    "empty.eml": b"",
    "UPPER.EML": PLAIN,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name, content in ODD.items():
        (tmp_path / "deep" / "er" / name).write_bytes(content)
    (tmp_path / "first.eml").write_bytes(PLAIN)
    (tmp_path / "notes.txt").write_text("not a mail")
    return tmp_path


async def test_a_folder_is_imported_whole_and_instead_of_the_seeds(make_desk, folder):
    """Whatever is broken in it: every message is listed and can be got in every format."""
    desk = await make_desk(sandbox_corpus=folder)
    ids = await desk.listed("in:inbox is:unread")
    got = [await desk.gmail("GET", f"/messages/{name}", params={"format": kind})
           for name in ids for kind in ("full", "metadata", "minimal", "raw")]  # fmt: skip
    assert len(ids) == len(ODD) + 1
    assert {status for status, _ in got} == {200}


async def test_the_bytes_stay_as_they_were(make_desk, folder):
    """format=raw gives the file back."""
    desk = await make_desk(sandbox_corpus=folder)
    raws = [
        (await desk.gmail("GET", f"/messages/{name}", params={"format": "raw"}))[1]
        for name in await desk.listed()
    ]
    assert sorted(base64.urlsafe_b64decode(item["raw"]) for item in raws) == sorted([PLAIN, *ODD.values()])


def test_dates_come_from_date_then_received_then_now(folder):
    """A date that no calendar knows, or from the future, is no date."""
    mailbox = build_world(Settings(sandbox_now=NOW, sandbox_corpus=folder), "http://127.0.0.1:9").mailbox
    years = {item.header("from"): item.internal_date_ms // 1000 for item in mailbox.messages.values()}
    assert years["a@x.example"] == 1_030_018_641
    assert years["b@x.example"] == 1_029_999_600
    assert years["c@x.example"] == years["d@x.example"] == int(NOW.timestamp())


def test_headers_with_raw_8_bit_text_are_read_as_windows_1252(folder):
    """As Gmail shows them; nothing is replaced."""
    mailbox = build_world(Settings(sandbox_now=NOW, sandbox_corpus=folder), "http://127.0.0.1:9").mailbox
    found = {item.header("subject"): item.header("from") for item in mailbox.messages.values()}
    assert found["café"] == "Jérôme <j@x.example>"
    assert found["enveloped"] == "f@x.example"


def test_an_mbox_is_split_at_its_from_lines_only(tmp_path):
    """A sentence that starts with "From" stays in its message."""
    mbox = tmp_path / "all.mbox"
    second = b"Subject: two\n\nhi\n\nFrom here on: all is well\nsaid she\n"
    mbox.write_bytes(
        b"From a@x Thu Aug 22 08:17:21 2002\n" + PLAIN + b"\nFrom b@x Thu Aug 22 09:17:21 2002\n" + second
    )
    assert list(read_messages(mbox)) == [PLAIN, second]


def test_what_is_no_mail_is_refused(tmp_path):
    """An empty folder, and a file that is no mbox."""
    with pytest.raises(ValueError, match="no mbox"):
        split_mbox(b"hello\n")
    with pytest.raises(ValueError, match="no message"):
        build_world(Settings(sandbox_now=NOW, sandbox_corpus=tmp_path), "http://127.0.0.1:9")
    with pytest.raises(FileNotFoundError):
        build_world(Settings(sandbox_now=NOW, sandbox_corpus=tmp_path / "nowhere"), "http://127.0.0.1:9")
