"""An unsubscribe is sent once, whatever happens around it."""

import asyncio

import pytest

from services.common.errors import AppError
from services.mail_core.domain.attempt import one_click_answered, one_click_not_reached
from services.mail_core.domain.ids import TeamId
from services.mail_core.domain.operation import OperationState, UnsubscribeReport
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.import_mailbox import ImportMailbox, StateFiles
from services.mail_core.operations.look_at_mail import Page
from tests.integration.mail_core.operations.world import TOKEN, World, letter

A, B = "a.news.example", "b.news.example"
URL = f"https://news.example/u/{A}"


async def scanned(world: World, *letters: dict[str, str]) -> None:
    for headers in letters or ({"list_id": A},):
        headers = dict(headers)
        world.gmail.deliver(*letter(headers.pop("list_id"), **headers).items())
    await world.scan()


async def test_one_click_is_posted_once_and_accepted(world: World) -> None:
    """One POST to the link of the newest message, and a ledger row that says so."""
    await scanned(world)
    report = await world.unsubscribe(A)
    assert [(o.state, o.reason, o.already_done) for o in report.outcomes] == [("accepted", "ACCEPTED", False)]
    assert world.one_click.posted == [URL]
    attempts, _ = await world.look.attempts(world.call(), "me", Page(0, ""))
    assert [(a.state, a.http_status) for a in attempts] == [("accepted", 200)]


@pytest.mark.promise("once.unsubscribe")
async def test_second_request_does_not_post_again(world: World) -> None:
    """Another request for the same subscription finds it settled."""
    await scanned(world)
    await world.unsubscribe(A)
    again = await world.unsubscribe(A)
    assert [o.already_done for o in again.outcomes] == [True]
    assert world.one_click.posted == [URL]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_failed_answer_is_not_tried_again(world: World, status: int) -> None:
    """The sender was reached and may have acted: a redirect or an error is final."""
    await scanned(world)
    world.one_click.outcomes[URL] = one_click_answered(status)
    first = await world.unsubscribe(A)
    await world.unsubscribe(A)
    assert first.outcomes[0].state is SubscriptionState.FAILED
    assert len(world.one_click.posted) == 1


async def test_host_that_was_never_reached_may_be_asked_again(world: World) -> None:
    """Nothing was sent, so nothing can happen twice."""
    await scanned(world)
    world.one_click.outcomes[URL] = one_click_not_reached()
    await world.unsubscribe(A)
    world.one_click.outcomes.clear()
    second = await world.unsubscribe(A)
    assert second.outcomes[0].state is SubscriptionState.ACCEPTED


@pytest.mark.promise("once.mailto")
async def test_mailto_goes_out_once_from_the_address_that_the_list_knows(world: World) -> None:
    """RFC 6068 fields are honoured; the mail comes from the owner's own address."""
    await scanned(
        world,
        {
            "list_id": A,
            "List_Unsubscribe": "<mailto:leave%2Bx@news.example?subject=stop%20now>",
            "List_Unsubscribe_Post": "",
        },
    )
    report = await world.unsubscribe(A)
    await world.unsubscribe(A)
    assert report.outcomes[0].state is SubscriptionState.SENT
    assert [(m["To"], m["Subject"], m["From"]) for m in world.gmail.sent] == [
        ("leave+x@news.example", "stop now", "owner@example.com")
    ]


@pytest.mark.promise("once.unknown")
async def test_lost_answer_to_a_mail_is_unknown_and_not_repeated(world: World) -> None:
    """The mail may have gone out."""
    await scanned(
        world, {"list_id": A, "List_Unsubscribe": "<mailto:leave@news.example>", "List_Unsubscribe_Post": ""}
    )
    world.gmail.loses_next_send = True
    first = await world.unsubscribe(A)
    await world.unsubscribe(A)
    assert first.outcomes[0].state is SubscriptionState.UNKNOWN
    assert len(world.gmail.sent) == 1


@pytest.mark.promise("quiet.unqualified")
@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"List_Unsubscribe": "<https://10.0.0.7/u>"}, "refused", "UNSAFE_LINK"),
        ({"List_Unsubscribe": "", "List_Unsubscribe_Post": ""}, "refused", "NO_LIST_UNSUBSCRIBE"),
        ({"List_Unsubscribe_Post": ""}, "needs_person", "POST_HEADER_MISSING"),
        (
            {"DKIM_Signature": "v=1; d=news.example; s=s1; h=from; b=abcdefghij"},
            "needs_person",
            "DKIM_NOT_COVERING",
        ),
        ({"Authentication_Results": ""}, "needs_person", "DKIM_NOT_VERIFIED"),
    ],
)
async def test_what_does_not_qualify_is_not_contacted(
    world: World, changes: dict[str, str], state: str, reason: str
) -> None:
    """The reason is given and no host hears of it."""
    await scanned(world, {"list_id": A, **changes})
    outcome = (await world.unsubscribe(A)).outcomes[0]
    assert (outcome.state, outcome.reason) == (state, reason)
    assert bool(outcome.web_page_url) == (state == "needs_person")
    assert (world.one_click.posted, world.gmail.sent) == ([], [])


@pytest.mark.promise("quiet.dry-run")
async def test_dry_run_sends_and_stores_nothing(world: World) -> None:
    """It says what would be done; the real request still does it."""
    await scanned(world)
    report = await world.unsubscribe(A, dry_run=True)
    assert (report.dry_run, report.outcomes[0].method, report.outcomes[0].state) == (
        True,
        "one_click",
        "candidate",
    )
    assert world.one_click.posted == []
    assert (await world.look.attempts(world.call(), "me", Page(0, "")))[0] == []
    assert (await world.unsubscribe(A)).outcomes[0].state is SubscriptionState.ACCEPTED


@pytest.mark.promise("once.unsubscribe")
async def test_two_workers_that_race_post_once(world: World) -> None:
    """Two operations for one subscription run at once; the second sees the first one's claim."""
    await scanned(world)
    world.one_click.holds = asyncio.Event()
    known = (await world.subscriptions())[A]
    for request_id in ("r-1", "r-2"):
        await world.ask.unsubscribe(world.call(), "me", request_id, [known.id], dry_run=False)
    first, second = world.queue.queued
    async with asyncio.TaskGroup() as group:
        group.create_task(world.runner(world.team_id, first.id, True))
        await _until(lambda: bool(world.one_click.posted))
        await world.runner(world.team_id, second.id, True)
        world.one_click.holds.set()
    assert world.one_click.posted == [URL]
    assert (await world.subscriptions())[A].state is SubscriptionState.ACCEPTED


async def test_scan_that_is_writing_does_not_hold_up_a_claim(world: World) -> None:
    """A claim refers to the mailbox that a scan has locked: waiting for each other would be a deadlock."""
    await scanned(world)
    known = (await world.subscriptions())[A]
    asked = await world.ask.unsubscribe(world.call(), "me", "", [known.id], dry_run=False)
    async with world.store.team(world.team_id) as scanning:
        await scanning.subscriptions.record(known.mailbox_id, [], [], {})
        async with asyncio.timeout(5), world.store.team(world.team_id) as asking:
            locked = await asking.subscriptions.lock(known.id)
            assert locked is not None
            await asking.ledger.claim(locked, asked.id, locked.plan.method, world.now())


async def test_cancelled_operation_tells_what_was_on_its_way(world: World) -> None:
    """Somebody cancels between two answers: the second is waited for, and is part of the result."""
    await scanned(world, {"list_id": A}, {"list_id": B})
    held = {url: asyncio.Event() for url in (URL, f"https://news.example/u/{B}")}
    world.one_click.held = held
    known = await world.subscriptions()
    await world.ask.unsubscribe(world.call(), "me", "", [known[A].id, known[B].id], dry_run=False)
    operation = world.queue.queued[-1]
    running = asyncio.create_task(world.runner(world.team_id, operation.id, True))
    await _until(lambda: len(world.one_click.posted) == len(held))
    await world.follow.cancel(world.call(), operation.id)
    held[f"https://news.example/u/{B}"].set()
    await asyncio.wait([running], timeout=0.3)
    held[URL].set()
    await running
    done = await world.operation(operation)
    assert done.state is OperationState.CANCELLED
    assert isinstance(done.result, UnsubscribeReport)
    assert [o.state for o in done.result.outcomes] == ["accepted", "accepted"]


@pytest.mark.promise("once.crash")
async def test_worker_that_died_after_its_claim_leaves_unknown_and_posts_no_more(world: World) -> None:
    """The job runs again after a crash in the middle of the POST."""
    await scanned(world)
    world.one_click.holds = asyncio.Event()
    known = (await world.subscriptions())[A]
    await world.ask.unsubscribe(world.call(), "me", "", [known.id], dry_run=False)
    operation = world.queue.queued[-1]
    dying = asyncio.create_task(world.runner(world.team_id, operation.id, False))
    await _until(lambda: bool(world.one_click.posted))
    async with world.store.team(world.team_id) as records:
        assert await records.ledger.claimed_by(known.id) is not None
    done = await world.run_all()
    assert done.state is OperationState.SUCCEEDED
    assert (await world.subscriptions())[A].state is SubscriptionState.UNKNOWN
    world.one_click.holds.set()
    await dying
    assert (await world.subscriptions())[A].state is SubscriptionState.UNKNOWN
    assert world.one_click.posted == [URL]


@pytest.mark.promise("story.move")
async def test_links_that_the_personal_agent_used_are_not_used_again(world: World) -> None:
    """`data/unsubscribed_methods.json` comes over with the mailbox."""
    await scanned(world)
    files = StateFiles(TOKEN, unsubscribed_methods_json=f'{{"done": ["{URL}"]}}')
    imported = await ImportMailbox(world.store, world.grants)(world.team_id, files)
    report = await world.unsubscribe(A)
    assert (imported.unsubscribe_count, imported.is_replaced) == (1, True)
    assert report.outcomes[0].reason == "ALREADY_USED"
    assert world.one_click.posted == []


@pytest.mark.promise("once.unsubscribe")
async def test_two_lists_that_share_a_link_are_ended_by_one_request(world: World) -> None:
    """The claim is for the link as well as for the list, also when both are asked for at once."""
    shared = {"List_Unsubscribe": f"<{URL}>"}
    await scanned(world, {"list_id": A, **shared}, {"list_id": "b.news.example", **shared})
    report = await world.unsubscribe(A, "b.news.example")
    assert sorted(o.reason for o in report.outcomes) == ["ACCEPTED", "ALREADY_USED"]
    assert world.one_click.posted == [URL]


@pytest.mark.promise("teams.ids")
async def test_unknown_and_foreign_subscriptions_are_not_found(world: World) -> None:
    """One unknown id refuses the whole request, and nothing is queued."""
    await scanned(world)
    stranger = World(world.database)
    await stranger.connect()
    known = (await world.subscriptions())[A]
    for asking, ids in ((world, [known.id, "nonsense"]), (stranger, [known.id])):
        with pytest.raises(AppError, match="SUBSCRIPTION_NOT_FOUND"):
            await asking.ask.unsubscribe(asking.call(), "me", "", ids, dry_run=False)
        assert asking.queue.queued == []


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([], "SUBSCRIPTION_IDS_REQUIRED"), ([str(n) for n in range(101)], "TOO_MANY_SUBSCRIPTIONS")],
)
async def test_number_of_subscriptions_is_bounded(world: World, ids: list[str], reason: str) -> None:
    """None and too many are typed errors."""
    with pytest.raises(AppError, match=reason):
        await world.ask.unsubscribe(world.call(), "me", "", ids, dry_run=False)


@pytest.mark.promise("rights.mailboxes")
async def test_narrowed_credential_cannot_reach_other_mailboxes(world: World) -> None:
    """A key for other mailboxes is refused this one."""
    from services.common.identity import Restrictions

    call = world.call(
        restrictions=Restrictions(mailbox_ids=frozenset({"11111111-1111-4111-8111-111111111111"}))
    )
    mailboxes, _ = await world.look.mailboxes(world.call(), Page(0, ""))
    with pytest.raises(AppError, match="MAILBOX_NOT_ALLOWED"):
        await world.look.attempts(call, mailboxes[0].id, Page(0, ""))
    assert (await world.look.mailboxes(call, Page(0, "")))[0] == []


@pytest.mark.promise("teams.rows")
async def test_row_level_security_hides_rows_from_a_query_that_forgets_to_filter(world: World) -> None:
    """Without a team, and as another team, the tables are empty; nothing can be written for another."""
    import sqlalchemy as sa

    await scanned(world)
    await world.unsubscribe(A)
    tables = ("mailboxes", "subscriptions", "messages", "operations", "attempts")
    other = TeamId("22222222-2222-4222-8222-222222222222")
    for opening in (world.database.transaction({}), world.database.team(other)):
        async with opening as connection:
            counts = [await connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in tables]
            assert counts == [0] * len(tables)
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        async with world.database.team(other) as connection:
            await connection.execute(
                sa.text(
                    "INSERT INTO used_targets (team_id, mailbox_id, target_hash, use)"
                    " SELECT :team, gen_random_uuid(), '', ''"
                ),
                {"team": world.team_id},
            )


async def _until(is_so) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)
