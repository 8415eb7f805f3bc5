"""What says that a message went to many, and that many may answer it."""

import pytest

from services.mail_core.domain.bulk import is_bulk, is_discussion, list_address

from .mails import message

POST = ("List-Post", "<mailto:dev@lists.example>")


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (message(("List-Unsubscribe", "<mailto:a@b.example>")), True),
        (message(("List-Id", "<a.example>")), True),
        (message(("X-BeenThere", "dev@lists.example")), True),
        (message(("Precedence", " Bulk ")), True),
        (message(("Precedence", "list")), True),
        (message(("Precedence", "junk")), True),
        (message(("Precedence", "first-class")), False),
        # a robot's answer to one person, marked so that other robots stay quiet
        (message(("Precedence", "bulk"), ("Auto-Submitted", "auto-replied (vacation)")), False),
        (message(("Precedence", "bulk"), ("Auto-Submitted", "auto-generated")), True),
        (message(labels=("CATEGORY_PROMOTIONS",)), True),
        (message(labels=("CATEGORY_FORUMS",)), True),
        (message(labels=("CATEGORY_UPDATES", "INBOX")), False),
        (message(("Feedback-ID", "campaign7:cust:news:shop")), True),
        # stamped by the mail service on everything that it carries, or filed by Gmail as an update
        (message(("Feedback-ID", "1.eu-west-1.abc=:1.eu-west-1.xyz=:AmazonSES")), False),
        (message(("Feedback-ID", "12345:SG")), False),
        (message(("Feedback-ID", "receipt:cust:tx:shop"), labels=("CATEGORY_UPDATES",)), False),
        # newsletters from before there were headers for it
        (message(sender="Matrox <newsletter@matrox.example>"), True),
        (message(sender="CNET <x@newsletter.online.example>"), True),
        (message(sender="Shop <shop@mailings.shop.example>"), True),
        (message(sender="The ISO17799 Newsletter <iso17799@risk.example>"), True),
        # persons and transactions
        (message(), False),
        (message(sender="Shop <receipts@shop.example>", subject="Your receipt"), False),
        (message(sender="Bank <no-reply@mail.bank.example>", subject="Security code"), False),
        (message(sender="Liszt <liszt@composers.example>"), False),
        (message(sender=""), False),
    ],
)
def test_bulk_mail_is_told_from_personal_and_transactional_mail(mail, expected):
    """People and receipts must not show up as lists."""
    assert is_bulk(mail) is expected


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (message(POST), True),
        (message(("List-Post", "NO")), False),  # RFC 2369: closed
        (message(("List-Post", "<https://a.substack.example/p/1>")), False),  # a newsletter's own page
        (message(POST, ("List-Id", "<dev-announce.lists.example>")), False),
        (message(("List-Post", "<mailto:acme-newsletter@x.example>")), False),
        (message(("X-BeenThere", "dev@lists.example")), True),
        (message(("Mailing-List", "list dev@lists.example; contact dev-owner@lists.example")), True),
        (message(("List-Id", "<dev.lists.example>"), ("In-Reply-To", "<1@x>")), True),
        (message(("List-Id", "<dev.lists.example>")), False),
        # Majordomo passes on what someone from elsewhere wrote
        (message(("Sender", "owner-xfs@oss.example"), sender="Jim <jim@else.example>"), True),
        (message(("Sender", "owner-news@oss.example"), sender="Oss <news@www.oss.example>"), False),
        (message(("Sender", "owner-xfs@oss.example"), sender=""), False),
        (message(), False),
    ],
)
def test_discussions_are_told_from_announcements(mail, expected):
    """A discussion is a list that anyone on it may post to."""
    assert is_discussion(mail) is expected


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ([("X-BeenThere", "Dev@Lists.example")], "dev@lists.example"),
        ([("Mailing-List", "list dev@lists.example; contact owner@lists.example")], "dev@lists.example"),
        ([("Mailing-List", "contact help@lists.example; run by ezmlm")], None),
        ([("X-Mailing-List", "<kernel.vger.example> archive/latest/1")], None),
        ([POST], "dev@lists.example"),
        ([("List-Post", "<mailto:dev@lists.example?subject=x>")], "dev@lists.example"),
        ([("List-Post", "<https://x.example/p/1>")], None),
        # one publisher, several newsletters, one From: what manages each tells them apart
        ([("List-Owner", "<mailto:owner-lglinux@host.example>")], "lglinux@host.example"),
        ([("List-Subscribe", "<mailto:subscribe-lgmac@host.example>")], "lgmac@host.example"),
        ([("Sender", "pgsql-novice-owner@pg.example")], "pgsql-novice@pg.example"),
        ([("Sender", "Ann <ann@pg.example>")], None),
        ([], None),
    ],
)
def test_a_list_is_named_by_what_its_software_left(fields, address):
    """Mailman, ezmlm, Yahoo Groups, Majordomo and Lyris each leave their own trace."""
    assert list_address(message(*fields)) == address
