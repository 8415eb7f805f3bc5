"""What a scan reads, keeps, labels and reports."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from services.common.errors import AppError, unavailable
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.operation import OperationState, ScanReport
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.look_at_mail import Page
from services.mail_core.operations.scan_mailbox import ScanSettings
from tests.integration.mail_core.operations.world import World, letter

LONG_AGO = datetime(2026, 10, 1, tzinfo=UTC)


def deliver(
    world: World, list_id: str, count: int = 1, labels: tuple[str, ...] = ("INBOX",), **changes: str
) -> None:
    for _ in range(count):
        world.gmail.deliver(*letter(list_id, **changes).items(), labels=labels)


@pytest.mark.promise("story.scan")
async def test_first_scan_reads_triages_and_ranks_everything(world: World) -> None:
    """Counts by category add up, and the list with most messages comes first."""
    deliver(world, "small.news.example", 2)
    deliver(world, "big.news.example", 5, labels=("INBOX", "CATEGORY_PROMOTIONS"))
    world.gmail.deliver(("From", "Ann <ann@friend.example>"), ("Subject", "Lunch?"))
    report = await world.scan()
    assert (report.listed_count, report.scanned_count, report.subscription_count) == (8, 8, 2)
    assert {c.category: c.count for c in report.categories} == {"LINKEDIN": 0, "ADVERTISING": 5, "OTHER": 3}
    assert (report.incremental, report.partial, report.failed_count) == (False, False, 0)
    assert list(await world.subscriptions()) == ["big.news.example", "small.news.example"]


@pytest.mark.promise("once.labels")
async def test_labels_are_applied_once_to_what_was_triaged(world: World) -> None:
    """Every message of a category has its label; the others are untouched."""
    deliver(world, "ads.news.example", 3, labels=("INBOX", "CATEGORY_PROMOTIONS"))
    deliver(world, "list.news.example", 2)
    report = await world.scan()
    label = world.gmail.labels["Advertising"]
    labelled = [m for m in world.gmail.messages.values() if label in m.label_ids]
    assert (report.labelled_count, len(labelled)) == (3, 3)
    assert all("INBOX" in message.label_ids for message in labelled)


async def test_archiving_takes_labelled_mail_out_of_the_inbox(world: World) -> None:
    """TRIAGE_ARCHIVE moves, as the personal agent did."""
    world.settings = ScanSettings(archive=True)
    deliver(world, "ads.news.example", labels=("INBOX", "CATEGORY_PROMOTIONS"))
    await world.scan()
    assert all("INBOX" not in message.label_ids for message in world.gmail.messages.values())


async def test_second_scan_reads_only_what_is_new(world: World) -> None:
    """From the cursor on; counts of a known list grow by what came."""
    deliver(world, "a.news.example", 3)
    await world.scan()
    deliver(world, "a.news.example", 2)
    report = await world.scan()
    assert (report.incremental, report.scanned_count) == (True, 2)
    assert (await world.subscriptions())["a.news.example"].message_count == 5


@pytest.mark.promise("once.resync")
async def test_forgotten_cursor_loses_and_repeats_nothing(world: World) -> None:
    """A 404 of history.list means a new listing in which known messages are not read again."""
    deliver(world, "a.news.example", 3)
    await world.scan()
    deliver(world, "a.news.example", 2)
    world.gmail.expire_history()
    report = await world.scan()
    assert (report.incremental, report.listed_count, report.scanned_count) == (False, 5, 2)
    assert (await world.subscriptions())["a.news.example"].message_count == 5


@pytest.mark.promise("quiet.dry-run")
async def test_dry_run_changes_and_stores_nothing(world: World) -> None:
    """It reports what a scan would find, and the next scan still finds it."""
    deliver(world, "ads.news.example", 2, labels=("INBOX", "CATEGORY_PROMOTIONS"))
    before = dict(world.gmail.messages)
    report = await world.scan(dry_run=True)
    assert (report.dry_run, report.scanned_count, report.labelled_count) == (True, 2, 0)
    assert world.gmail.messages == before
    assert "Advertising" not in world.gmail.labels
    assert await world.subscriptions() == {}
    assert (await world.scan()).scanned_count == 2


@pytest.mark.promise("once.partial")
async def test_unreadable_message_makes_the_result_partial_and_is_read_next_time(world: World) -> None:
    """Nothing is dropped silently: the cursor stays until everything before it was read."""
    deliver(world, "a.news.example", 3)
    hidden = next(iter(world.gmail.messages))
    world.gmail.unreadable.add(hidden)
    first = await world.scan()
    world.gmail.unreadable.clear()
    second = await world.scan()
    assert (first.partial, first.failed_count, first.scanned_count) == (True, 1, 2)
    assert (second.partial, second.scanned_count) == (False, 1)
    assert (await world.subscriptions())["a.news.example"].message_count == 3


@pytest.mark.parametrize("request_id", ["a\0", "a\n", "a b", "é", "x" * 129])
async def test_impossible_request_id_is_a_typed_error(world: World, request_id: str) -> None:
    """It starts nothing, and whoever looks for it finds nothing."""
    with pytest.raises(AppError) as asked:
        await world.ask.scan(world.call(), "me", request_id, dry_run=True, max_messages=0)
    with pytest.raises(AppError) as looked:
        await world.follow.get(world.call(), "", request_id)
    assert (asked.value.reason, looked.value.reason) == ("REQUEST_ID_INVALID", "OPERATION_NOT_FOUND")


@pytest.mark.promise("quiet.untrusted")
@pytest.mark.parametrize(
    "headers",
    [
        {"From": "=?utf-7?Q?+2AA-?= <hello@news.example>"},
        {"From": "=?unicode_escape?Q?=5Cud800?= <hello@news.example>"},
        {"List_Id": "=?utf-7?Q?+2AA-?= <b.news.example>"},
        {"List_Id": "b\0.news.example"},
        {"List_Id": "", "Sender": "b\0@news.example", "List_Post": "<mailto:b\0@news.example>"},
        {"List_Id": f"<{secrets.token_hex(4_000)}.news.example>"},
        {"List_Id": "", "List_Post": f"<mailto:{secrets.token_hex(4_000)}@news.example>"},
        {"List_Id": "", "From": f"<{secrets.token_hex(4_000)}@news.example>"},
        {"List_Unsubscribe": "<mailto:b@news.example?subject=%00>, <https://news.example/\0>"},
    ],
)
async def test_no_mail_can_stop_a_scan(world: World, headers: dict[str, str]) -> None:
    """What a database cannot keep is no text: a scan that failed over it would fail for ever."""
    world.gmail.deliver(*letter("b.news.example", **headers).items())
    world.gmail.deliver(*letter("a.news.example").items())
    report = await world.scan()
    assert (report.scanned_count, report.failed_count, report.partial) == (2, 0, False)
    assert "a.news.example" in await world.subscriptions()


@pytest.mark.promise("once.partial")
async def test_cut_short_listing_goes_on_next_time(world: World) -> None:
    """max_messages takes the newest first and says that it is partial."""
    deliver(world, "a.news.example", 5)
    first = await world.scan(max_messages=3)
    second = await world.scan(max_messages=3)
    assert (first.partial, first.scanned_count) == (True, 3)
    assert (second.partial, second.scanned_count) == (False, 2)


async def test_query_of_the_operator_narrows_every_scan(world: World) -> None:
    """GMAIL_QUERY holds for the first listing and for what history brings."""
    world.settings = ScanSettings(query="from:wanted")
    deliver(world, "a.news.example", From="wanted@news.example")
    deliver(world, "b.news.example", From="other@news.example")
    first = await world.scan()
    deliver(world, "a.news.example", From="wanted@news.example")
    deliver(world, "b.news.example", From="other@news.example")
    second = await world.scan()
    assert (first.scanned_count, second.scanned_count, second.incremental) == (1, 1, True)


async def test_own_sent_mail_is_no_mail_received(world: World) -> None:
    """What the owner sent neither counts nor makes a subscription, also when history brings it."""
    await world.scan()
    world.gmail.deliver(*letter("x.news.example").items(), labels=("SENT",))
    report = await world.scan()
    assert report.scanned_count == 0
    assert await world.subscriptions() == {}


async def test_interrupted_scan_counts_nothing_twice(world: World) -> None:
    """Google fails in the middle; the retried job finishes the rest."""
    deliver(world, "a.news.example", 150)
    await world.ask.scan(world.call(), "me", "r-1", dry_run=False, max_messages=0)
    operation = world.queue.queued[-1]
    world.gmail.trouble = unavailable("GMAIL_DOWN", "Later.")
    with pytest.raises(AppError):
        await world.runner(world.team_id, operation.id, False)
    assert (await world.operation(operation)).state is OperationState.QUEUED
    world.gmail.trouble = None
    done = await world.run_all()
    assert done.state is OperationState.SUCCEEDED
    assert (await world.subscriptions())["a.news.example"].message_count == 150


async def test_last_try_that_fails_says_why(world: World) -> None:
    """The operation ends FAILED with the typed reason, not running forever."""
    world.gmail.trouble = unavailable("GMAIL_DOWN", "Later.")
    await world.ask.scan(world.call(), "me", "", dry_run=False, max_messages=0)
    done = await world.run_all(is_last_try=True)
    assert done.error is not None
    assert (done.state, done.error.reason) == (OperationState.FAILED, "GMAIL_DOWN")


async def test_revoked_grant_is_noted_and_refuses_the_next_scan_at_once(world: World) -> None:
    """The mailbox says that it must be connected again; connecting heals it."""
    trouble, world.google.mailboxes = world.google.mailboxes, {}
    await world.ask.scan(world.call(), "me", "", dry_run=False, max_messages=0)
    done = await world.run_all()
    assert done.error is not None
    assert done.error.reason == "GMAIL_GRANT_REVOKED"
    with pytest.raises(AppError, match="GMAIL_GRANT_REVOKED"):
        await world.ask.scan(world.call(), "me", "", dry_run=False, max_messages=0)
    world.google.mailboxes = trouble
    await world.connect()
    assert (await world.scan()).partial is False


async def test_cancelled_scan_stops_and_keeps_what_it_had_done(world: World) -> None:
    """Cancelling a queued one never starts it."""
    operation = await world.ask.scan(world.call(), "me", "", dry_run=False, max_messages=0)
    async with world.store.team(world.team_id) as records:
        await records.operations.request_cancel(operation.id)
    done = await world.run_all()
    assert done.state is OperationState.CANCELLED


async def test_cancelling_a_scan_that_waits_for_another_try_takes_effect_at_once(world: World) -> None:
    """Nobody has to wait for the next try to see it cancelled."""
    operation = await world.ask.scan(world.call(), "me", "", dry_run=False, max_messages=0)
    world.gmail.trouble = unavailable("GMAIL_DOWN", "Later.")
    with pytest.raises(AppError):
        await world.runner(world.team_id, operation.id, False)
    async with world.store.team(world.team_id) as records:
        await records.operations.request_cancel(operation.id)
    assert (await world.operation(operation)).state is OperationState.CANCELLED


@pytest.mark.promise("once.request-id")
async def test_same_request_id_is_the_same_operation(world: World) -> None:
    """Twice the same request is one operation, queued once; another request with its id is refused."""
    first = await world.ask.scan(world.call(), "me", "r-7", dry_run=False, max_messages=0)
    second = await world.ask.scan(world.call(), "me", "r-7", dry_run=False, max_messages=0)
    assert (first.id, len(world.queue.queued)) == (second.id, 1)
    with pytest.raises(AppError, match="REQUEST_ID_REUSED"):
        await world.ask.scan(world.call(), "me", "r-7", dry_run=True, max_messages=0)


@pytest.mark.parametrize(
    ("mailbox_id", "reason"),
    [
        ("nonsense", "MAILBOX_NOT_FOUND"),
        ("11111111-1111-4111-8111-111111111111", "MAILBOX_NOT_FOUND"),
        ("../x", "MAILBOX_NOT_FOUND"),
    ],
)
async def test_unknown_mailbox_is_not_found(world: World, mailbox_id: str, reason: str) -> None:
    """Ids that are none, and ids of nobody, answer the same."""
    with pytest.raises(AppError, match=reason):
        await world.ask.scan(world.call(), mailbox_id, "", dry_run=False, max_messages=0)


@pytest.mark.promise("teams.ids")
async def test_another_team_sees_nothing(world: World) -> None:
    """With the right ids in hand, another team finds no mailbox, operation or subscription."""
    deliver(world, "a.news.example")
    await world.scan()
    mailboxes, _ = await world.look.mailboxes(world.call(), Page(0, ""))
    stranger = world.call(team_id=TeamId(str(uuid.uuid4())))
    assert (await world.look.mailboxes(stranger, Page(0, "")))[0] == []
    with pytest.raises(AppError, match="MAILBOX_NOT_FOUND"):
        await world.look.subscriptions(stranger, mailboxes[0].id, Page(0, ""), ())
    with pytest.raises(AppError, match="MAILBOX_NOT_FOUND"):
        await world.ask.scan(stranger, mailboxes[0].id, "", dry_run=False, max_messages=0)


@pytest.mark.promise("once.verified")
async def test_silence_verifies_and_new_mail_shows_who_ignores(world: World) -> None:
    """48 h after acceptance: silent lists are verified, those that write on are ignored."""
    deliver(world, "quiet.news.example")
    deliver(world, "loud.news.example")
    await world.scan()
    await world.unsubscribe("quiet.news.example", "loud.news.example")
    world.gmail.deliver(*letter("loud.news.example").items(), at=world.time + timedelta(hours=60))
    world.later(hours=72)
    await world.scan()
    states = {key: row.state for key, row in (await world.subscriptions()).items()}
    assert states == {
        "quiet.news.example": SubscriptionState.VERIFIED,
        "loud.news.example": SubscriptionState.IGNORED,
    }


async def test_report_survives_storage(world: World) -> None:
    """What is read back is what was reported."""
    deliver(world, "a.news.example", 2)
    report = await world.scan()
    assert isinstance(report, ScanReport)
    assert report.quota_units > 0
