"""A credential with a label prefix reaches the mailboxes whose label starts with it, and no other."""

from dataclasses import replace

import pytest

from services.common.errors import AppError, Kind
from services.common.identity import Restrictions
from services.mail_core.domain.records import Mailbox
from services.mail_core.operations.follow_operation import FollowOperation
from services.mail_core.operations.import_mailbox import ImportMailbox, StateFiles
from services.mail_core.operations.label_mailbox import LabelMailbox
from services.mail_core.operations.look_at_mail import Page
from tests.fakes.gmail import FakeMailbox
from tests.integration.mail_core.operations.world import TOKEN, World

INSIDE = Restrictions(label_prefix="bots/")
EVERYTHING = Page(0, "")


async def labelled(world: World, label: str | None) -> Mailbox:
    """Connect a second account and give it a label as an import does."""
    world.google.mailboxes["refresh-2"] = FakeMailbox(email_address="bot@example.com")
    files = StateFiles(TOKEN.replace("refresh-1", "refresh-2"))
    return (await ImportMailbox(world.store, world.grants)(world.team_id, files, label=label)).mailbox


async def reason_of(world: World, mailbox_id: str) -> str:
    with pytest.raises(AppError) as caught:
        await world.look.attempts(world.call(restrictions=INSIDE), mailbox_id, EVERYTHING)
    assert caught.value.kind in (Kind.PERMISSION_DENIED, Kind.NOT_FOUND)
    return caught.value.reason


@pytest.mark.promise("rights.mailboxes")
async def test_a_prefix_lets_in_what_begins_with_it_alone(world: World) -> None:
    """By id, in lists, and as `me`, which then means the one mailbox that is inside."""
    [other] = (await world.look.mailboxes(world.call(), EVERYTHING))[0]
    ours = await labelled(world, "bots/news")
    narrowed = world.call(restrictions=INSIDE)
    assert [row.id for row in (await world.look.mailboxes(narrowed, EVERYTHING))[0]] == [ours.id]
    assert (await world.look.attempts(narrowed, ours.id, EVERYTHING))[0] == []
    assert (await world.ask.scan(narrowed, "me", "", dry_run=False, max_messages=0)).mailbox_id == ours.id
    assert await reason_of(world, other.id) == "MAILBOX_NOT_ALLOWED"


@pytest.mark.promise("rights.mailboxes")
async def test_an_unlabelled_mailbox_is_outside_every_prefix(world: World) -> None:
    """Nobody said that agents may have it."""
    await labelled(world, None)
    assert await reason_of(world, "me") == "MAILBOX_NOT_FOUND"
    assert (await world.look.mailboxes(world.call(restrictions=INSIDE), EVERYTHING))[0] == []


async def test_an_operation_is_followed_and_stopped_by_who_may_use_its_mailbox(world: World) -> None:
    """To others of the team it does not exist, whoever asked for it."""
    [mailbox] = (await world.look.mailboxes(world.call(), EVERYTHING))[0]
    asked = await world.ask.scan(world.call(), mailbox.id, "", dry_run=False, max_messages=0)
    follow = FollowOperation(world.store, world.targets, None)  # type: ignore[arg-type]  nothing is watched
    narrowed = world.call(restrictions=INSIDE)
    for refused in (follow.get(narrowed, asked.id), follow.cancel(narrowed, asked.id)):
        with pytest.raises(AppError, match="OPERATION_NOT_FOUND"):
            await refused
    await LabelMailbox(world.store)(world.call(), mailbox.id, "bots/all")
    assert (await follow.get(narrowed, asked.id)).id == asked.id


async def test_a_label_is_changed_once_and_stays_through_another_import(world: World) -> None:
    """Repeats change nothing; an import that says nothing of a label leaves it."""
    mailbox = await labelled(world, "bots/a")
    label = LabelMailbox(world.store)
    for _ in range(2):
        assert await label(world.call(), mailbox.id, "people/b") == replace(mailbox, label="people/b")
    assert (await labelled(world, None)).label == "people/b"
    assert (await labelled(world, "")).label == ""


@pytest.mark.parametrize("bad", ["x" * 65, " a", "a ", "a\nb", "a\u202eb"])
async def test_a_label_is_tidy_text(world: World, bad: str) -> None:
    """It is shown to people, and compared character by character."""
    [mailbox] = (await world.look.mailboxes(world.call(), EVERYTHING))[0]
    with pytest.raises(AppError, match="LABEL_INVALID"):
        await LabelMailbox(world.store)(world.call(), mailbox.id, bad)
    with pytest.raises(AppError, match="LABEL_INVALID"):
        await labelled(world, bad)


async def test_who_is_narrowed_moves_nothing_out_of_its_prefix(world: World) -> None:
    """Nor takes a mailbox in that is outside."""
    [other] = (await world.look.mailboxes(world.call(), EVERYTHING))[0]
    ours = await labelled(world, "bots/news")
    label, narrowed = LabelMailbox(world.store), world.call(restrictions=INSIDE)
    with pytest.raises(AppError, match="RESTRICTION_LOOSENED"):
        await label(narrowed, ours.id, "people/b")
    with pytest.raises(AppError, match="MAILBOX_NOT_ALLOWED"):
        await label(narrowed, other.id, "bots/mine")
