"""What every Gmail port keeps, in memory and against a Google."""

from email.message import EmailMessage

import pytest

from services.common.errors import AppError, Kind
from services.mail_core.domain.ids import GmailMessageId
from services.mail_core.domain.pacing import units
from services.mail_core.ports import HistoryExpiredError, SendUnknownError
from tests.contract.ports.worlds import World

LIST = (("From", "News <news@unique.example>"), ("To", "owner@example.com"), ("Subject", "One"))
NOBODY = GmailMessageId("00000000deadbeef")


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "owner@example.com"
    message["To"] = "leave@unique.example"
    message["Subject"] = "unsubscribe"
    message.set_content("Please.")
    return message


async def test_what_is_listed_can_be_read_in_the_order_asked_for(world: World):
    """Ids, labels, headers and dates arrive whole, more of them than one batch holds."""
    delivered = [
        await world.deliver(*LIST, ("List-Id", f"<{number}.unique.example>")) for number in range(30)
    ]
    ids = [GmailMessageId(each) for each in reversed(delivered)]
    result = await world.gmail().get_metadata(ids)
    assert [message.id for message in result.messages] == ids
    assert result.messages[0].headers.get("list-id") == "<29.unique.example>"
    assert "INBOX" in result.messages[0].label_ids
    assert result.messages[0].received_at.tzinfo is not None
    assert (result.gone_ids, result.failed_ids) == ((), ())


async def test_an_id_that_is_asked_for_twice_is_read_once(world: World):
    """Repeats cost nothing."""
    gmail = world.gmail()
    identity = GmailMessageId(await world.deliver(*LIST))
    assert len((await gmail.get_metadata([identity, identity])).messages) == 1
    assert gmail.units_spent == units("messages.get")


async def test_a_message_that_is_gone_is_told_apart_from_one_that_cannot_be_read(world: World):
    """Mail that was deleted meanwhile is no failure of the scan."""
    identity = GmailMessageId(await world.deliver(*LIST))
    result = await world.gmail().get_metadata([NOBODY, identity])
    assert [message.id for message in result.messages] == [identity]
    assert (result.gone_ids, result.failed_ids) == ((NOBODY,), ())


async def test_all_gone_is_an_answer(world: World):
    """Nothing to read is not an error."""
    assert (await world.gmail().get_metadata([NOBODY])).gone_ids == (NOBODY,)
    assert (await world.gmail().get_metadata([])).messages == ()


async def test_a_listing_finds_a_sender_newest_first_without_spam_and_trash(world: World):
    """`from:` finds what one sender wrote, as a scan's sender cover needs it."""
    sender = "covered@sender-cover.example"
    first = await world.deliver(("From", sender), ("Subject", "1"))
    second = await world.deliver(("From", sender), ("Subject", "2"))
    await world.deliver(("From", sender), labels=("SPAM",))
    await world.deliver(("From", sender), labels=("TRASH",))
    page = await world.gmail().list_ids(f"from:{sender}")
    assert set(page.ids) >= {first, second}
    assert len(page.ids) == 2
    assert page.next_page_token == ""


@pytest.mark.promise("once.mail")
async def test_new_mail_since_a_cursor_is_found_and_the_cursor_moves_on(world: World):
    """Nothing falls between two looks, nothing comes twice; spam, trash and drafts are not new mail."""
    gmail = world.gmail()
    before = (await gmail.profile()).history_id
    first = await world.deliver(*LIST)
    await world.deliver(*LIST, labels=("SPAM",))
    await world.deliver(*LIST, labels=("DRAFT",))
    second = await world.deliver(*LIST)
    new = await gmail.new_ids_since(before)
    assert new.ids == (first, second)
    assert (await gmail.new_ids_since(new.history_id)).ids == ()
    third = await world.deliver(*LIST)
    assert (await gmail.new_ids_since(new.history_id)).ids == (third,)


async def test_an_old_cursor_is_said_to_have_expired(world: World):
    """The caller has to list anew; no gap is skipped silently."""
    gmail = world.gmail()
    before = (await gmail.profile()).history_id
    await world.deliver(*LIST)
    await world.expire_history()
    with pytest.raises(HistoryExpiredError):
        await gmail.new_ids_since(before)


async def test_a_label_is_made_once(world: World):
    """The same name gives the same label, in any case of letters."""
    gmail = world.gmail()
    label = await gmail.ensure_label("Mailwarden/Once")
    assert await gmail.ensure_label("Mailwarden/Once") == label
    assert await gmail.ensure_label("mailwarden/ONCE") == label


async def test_labels_come_and_go_in_bulk(world: World):
    """Adding twice changes nothing more; only what is named is removed."""
    gmail = world.gmail()
    label = await gmail.ensure_label("Mailwarden/Bulk")
    ids = [GmailMessageId(await world.deliver(*LIST)) for _ in range(3)]
    for _ in range(2):
        await gmail.batch_modify(ids, add=[label], remove=["INBOX"])
    labels = [message.label_ids for message in (await gmail.get_metadata(ids)).messages]
    assert all(label in each and "INBOX" not in each and "UNREAD" in each for each in labels)


async def test_modifying_nothing_costs_nothing(world: World):
    """No ids or no labels is no call."""
    gmail = world.gmail()
    await gmail.batch_modify([], add=["INBOX"])
    await gmail.batch_modify([NOBODY])
    assert gmail.units_spent == 0


async def test_a_mail_is_sent_once(world: World):
    """A send answers with its id, and costs what Gmail says."""
    gmail, before = world.gmail(), await world.sent_count()
    assert await gmail.send(mail())
    assert await world.sent_count() == before + 1
    assert gmail.units_spent == units("messages.send")


@pytest.mark.promise("once.unknown")
async def test_a_send_whose_answer_is_lost_is_unknown_and_not_repeated(world: World):
    """The mail may be out: it must not go out twice (traps part 3, 5)."""
    before = await world.sent_count()
    await world.lose_next_send()
    with pytest.raises(SendUnknownError):
        await world.gmail().send(mail())
    assert await world.sent_count() == before + 1


async def test_a_revoked_grant_is_said_to_be_revoked(world: World):
    """Every call says the same, and what the owner has to do."""
    gmail = world.gmail()
    await gmail.profile()
    await world.revoke()
    with pytest.raises(AppError) as refused:
        await gmail.list_ids("")
    assert (refused.value.kind, refused.value.reason) == (Kind.FAILED_PRECONDITION, "GMAIL_GRANT_REVOKED")
    with pytest.raises(AppError, match="GMAIL_GRANT_REVOKED"):
        await gmail.get_metadata([NOBODY])


async def test_each_opened_mailbox_counts_its_own_units(world: World):
    """A scan reports what it spent, not what everybody spent."""
    first, second = world.gmail(), world.gmail()
    await first.profile()
    assert (first.units_spent, second.units_spent) == (units("getProfile"), 0)
