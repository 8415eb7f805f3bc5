"""Filling the mailbox: every list's past issues and the mail between people, the same on every start."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from services.sandbox.list_mail import compose
from services.sandbox.lists import LISTS, MailingList
from services.sandbox.mailbox import Mailbox
from services.sandbox.personal_mail import Mail, conversations, transactions
from services.sandbox.senders import SenderBook

_SEED = 8058


def seed(mailbox: Mailbox, senders: SenderBook, now: datetime) -> int:
    """Store all seeded mail, oldest first, and return how many."""
    random = Random(_SEED)
    owner = (mailbox.display_name, mailbox.address)
    mails = [*conversations(owner, now, random), *transactions(owner, now, random)]
    for mailing_list in LISTS:
        mails += _issues(mailing_list, senders, now, random)
    mails.sort(key=lambda mail: mail.instant)
    for mail in mails:
        mailbox.add(mail.raw, mail.labels, mail.instant)
    return len(mails)


def labels_of(mailing_list: MailingList) -> tuple[str, ...]:
    return ("SPAM", "UNREAD") if mailing_list.in_spam else ("INBOX", "UNREAD", *mailing_list.gmail_labels)


def _issues(mailing_list: MailingList, senders: SenderBook, now: datetime, random: Random) -> Iterator[Mail]:
    to = senders.addressee(mailing_list)
    newest = now - timedelta(minutes=random.randrange(20, int(mailing_list.every_days * 1440)))
    for number in range(mailing_list.count):
        back = mailing_list.count - 1 - number
        drift = timedelta(minutes=random.randrange(90))
        instant = newest - timedelta(days=mailing_list.every_days * back) - drift
        labels = labels_of(mailing_list)
        if random.random() < 0.12:  # noqa: PLR2004 - some issues were read
            labels = tuple(label for label in labels if label != "UNREAD")
        yield Mail(compose(mailing_list, to, number, instant), labels, instant)
