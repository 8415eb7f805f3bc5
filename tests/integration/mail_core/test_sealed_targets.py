"""What ends a subscription is sealed: for its team and its place, through rotations, and after an upgrade."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from alembic import command
from alembic.config import Config
from psycopg.types.json import Jsonb
from sqlalchemy.engine import make_url

from services.common.database import sqlalchemy_url
from services.common.errors import AppError
from services.common.master_keys import MasterKeys
from services.common.sealing import (
    GRANT_COLUMN,
    TARGET_COLUMN,
    Place,
    Sealer,
    SealError,
    is_plain,
    key_id_of,
)
from services.mail_core.adapters import postgres_master_keys
from services.mail_core.adapters.postgres_master_keys import PostgresSealedValues
from services.mail_core.domain.operation import OperationState, UnsubscribeReport
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations import reseal_secrets
from services.mail_core.operations.look_at_mail import Page
from services.mail_core.operations.reseal_secrets import ResealSecrets
from tests.fakes.mail_database import MIGRATIONS, MailDatabase
from tests.integration.mail_core.operations.world import World, letter
from tests.integration.mail_core.sealed_world import K1, K2, OLD_K1, Sealed, sealed_world
from tests.postgres import Databases

A, B, C = "a.news.example", "b.news.example", "c.news.example"
NO_POST = {"List_Unsubscribe_Post": ""}
ROW = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def sealed(databases: Databases, tmp_path: Path) -> AsyncIterator[Sealed]:
    async with sealed_world(databases, tmp_path / "keys") as made:
        yield made


@pytest.mark.promise("secrets.sealed")
async def test_a_target_opens_for_its_team_and_its_column_alone(sealed: Sealed) -> None:
    """Moved to another team's row, or to another column, it is refused, and nobody is contacted."""
    await sealed.lists(A)
    stranger = World(sealed.world.database)
    stranger.seal_with(Sealer(sealed.keys))
    await stranger.connect()
    stranger.gmail.deliver(*letter(B).items())
    await stranger.scan()
    ((theirs,),) = await sealed.sql(
        "SELECT target_sealed FROM subscriptions WHERE team_id = %s", stranger.team_id
    )
    ((grant,),) = await sealed.sql(
        "SELECT grant_sealed FROM mailboxes WHERE team_id = %s", sealed.world.team_id
    )
    for moved in (theirs, grant):
        await sealed.sql(
            "UPDATE subscriptions SET target_sealed = %s WHERE team_id = %s", moved, sealed.world.team_id
        )
        done = await sealed.ask(A)
        assert (done.state, done.error and done.error.reason) == (OperationState.FAILED, "TARGET_UNREADABLE")
    ((mailbox_id,),) = await sealed.sql("SELECT id FROM mailboxes WHERE team_id = %s", sealed.world.team_id)
    ours = Place(sealed.world.team_id, GRANT_COLUMN, str(mailbox_id))
    with pytest.raises(SealError):
        await Sealer(sealed.keys).open(theirs, Place(stranger.team_id, GRANT_COLUMN, str(mailbox_id)))
    assert await Sealer(sealed.keys).open(grant, ours)
    assert sealed.world.one_click.posted == []


async def test_a_wrong_key_claims_uses_and_posts_nothing(sealed: Sealed) -> None:
    """Typed, by the operation; with the right key the very same lists are ended."""
    await sealed.lists(A)
    await sealed.lists(B, List_Unsubscribe="<mailto:leave@news.example>", **NO_POST)
    sealed.world.seal_with(Sealer(MasterKeys({"k1": bytes(32)})))
    done = await sealed.ask(A, B)
    assert (done.state, done.error and done.error.reason) == (OperationState.FAILED, "TARGET_UNREADABLE")
    assert await sealed.unasked()
    sealed.world.seal_with(Sealer(sealed.keys))
    done = await sealed.ask(A, B)
    assert isinstance(done.result, UnsubscribeReport)
    assert [each.state for each in done.result.outcomes] == ["accepted", "sent"]


async def test_a_claim_of_before_is_kept_when_its_target_does_not_open(sealed: Sealed) -> None:
    """A worker died after its claim: with another key too, the request may be out and is not repeated."""
    await sealed.lists(A)
    world = sealed.world
    world.one_click.holds = asyncio.Event()
    known = (await world.subscriptions())[A]
    await world.ask.unsubscribe(world.call(), "me", "", [known.id], dry_run=False)
    dying = asyncio.create_task(world.runner(world.team_id, world.queue.queued[-1].id, False))
    while not world.one_click.posted:
        await asyncio.sleep(0)
    world.seal_with(Sealer(MasterKeys({"k1": bytes(32)})))
    done = await world.run_all()
    assert done.state is OperationState.SUCCEEDED
    assert (await world.subscriptions())[A].state is SubscriptionState.UNKNOWN
    world.one_click.holds.set()
    await dying
    assert len(world.one_click.posted) == 1


@pytest.mark.promise("secrets.rotation")
async def test_rotation_seals_both_columns_anew_while_scans_write(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page over both columns; every list ends after the old key is gone."""
    monkeypatch.setattr(reseal_secrets, "BATCH", 4)
    old = [f"{number}.old.example" for number in range(11)]
    new = [f"{number}.new.example" for number in range(6)]
    await sealed.lists(*old)
    assert await sealed.uses() == {"k1": 12}
    await sealed.use(K2, K1)
    assert await sealed.uses() == {"k1": 12, "k2": 0}
    with pytest.raises(AppError, match="12 values"):
        await sealed.reseal.retire("k1")

    async def scan() -> None:
        for name in (*new, *old[:4]):
            await sealed.lists(name)

    await asyncio.gather(sealed.reseal_all(), sealed.reseal_all(), scan())
    await sealed.reseal_all()
    assert {key_id_of(value) for _, value in await sealed.kept()} == {"k2"}
    assert await sealed.uses() == {"k1": 0, "k2": 18}
    assert await sealed.reseal_all() == {"examined": 0, "resealed": 0, "raced": 0, "unreadable": 0}
    async with sealed.world.database.transaction(postgres_master_keys.UPKEEP) as connection:
        await connection.exec_driver_sql(
            "UPDATE master_keys SET last_current_at = last_current_at - interval '1 min'"
        )
    await sealed.agreement.agree()
    await sealed.reseal.retire("k1")
    await sealed.use(K2)
    done = await sealed.ask(*old, *new)
    assert isinstance(done.result, UnsubscribeReport), done.error
    assert {each.state for each in done.result.outcomes} == {SubscriptionState.ACCEPTED}
    assert sorted(sealed.world.one_click.posted) == sorted(f"https://news.example/u/{n}" for n in old + new)


@pytest.mark.promise("secrets.rotation")
async def test_a_target_that_a_scan_stores_meanwhile_stays(sealed: Sealed) -> None:
    """Compare and swap: the newer message says how to end the list."""
    await sealed.lists(A)
    await sealed.use(K2, K1)

    class Interrupted(PostgresSealedValues):
        async def replace(self, value: Any, sealed_anew: bytes) -> bool:
            if value.column == TARGET_COLUMN:
                await sealed.lists(A, List_Unsubscribe="<https://news.example/u/newer>")
            return await super().replace(value, sealed_anew)

    sealed.reseal = ResealSecrets(Interrupted(sealed.world.database), Sealer(sealed.keys), sealed.record)
    assert await sealed.reseal_all() == {"examined": 2, "resealed": 1, "raced": 1, "unreadable": 0}
    await sealed.ask(A)
    assert sealed.world.one_click.posted == ["https://news.example/u/newer"]


async def test_a_page_that_ends_with_the_last_grant_goes_on_with_the_first_target(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the ids are: each column is walked from its own beginning."""
    monkeypatch.setattr(reseal_secrets, "BATCH", 1)
    await sealed.lists(A, B, C)
    last, team_id = "ffffffff-ffff-4fff-8fff-ffffffffffff", sealed.world.team_id
    await sealed.sql(
        "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed)"
        " VALUES (%s, %s, 'z', 'active', %s)",
        last, team_id, await Sealer(sealed.keys).seal(b"grant", Place(team_id, GRANT_COLUMN, last)),
    )  # fmt: skip
    await sealed.use(K2, K1)
    assert await sealed.reseal_all() == {"examined": 5, "resealed": 5, "raced": 0, "unreadable": 0}
    assert await sealed.uses() == {"k1": 0, "k2": 5}


@pytest.mark.parametrize(
    "token",
    [
        "x", ROW, f"mailboxes.email_address:0302:{ROW}", f"{TARGET_COLUMN}:", f"{TARGET_COLUMN}:0302:x",
        f"{TARGET_COLUMN}:x:{ROW}", f"{TARGET_COLUMN}:030:{ROW}", f"{TARGET_COLUMN}:é:{ROW}",
    ],
)  # fmt: skip
async def test_a_page_token_of_somebody_else_is_refused(sealed: Sealed, token: str) -> None:
    """It names a column that holds sealed values, and a row."""
    with pytest.raises(AppError) as caught:
        await sealed.reseal(token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


class Counting(Sealer):
    """Counts what it opens."""

    opened: ClassVar[list[Place]] = []

    async def open(self, sealed: bytes, place: Place) -> bytes:
        self.opened.append(place)
        return await super().open(sealed, place)


async def test_a_list_opens_the_pages_that_were_left_to_a_person_and_no_more(sealed: Sealed) -> None:
    """Three subscriptions with something sealed; one value is opened."""
    world = sealed.world
    await sealed.lists(A)
    await sealed.lists(B, C, **NO_POST)
    await sealed.ask(B)
    counting = Counting(sealed.keys)
    counting.opened.clear()
    world.seal_with(counting)
    rows, _, total = await world.look.subscriptions(world.call(), "me", Page(200, ""), ())
    assert total == len(rows) == 3
    assert all(row.plan.explanation for row in rows)
    assert counting.opened == []
    pages = await world.look.web_pages(world.call(), rows)
    by_key = {row.key.key: row.id for row in rows}
    assert pages == {by_key[B]: f"https://news.example/u/{B}"}
    assert len(counting.opened) == 1
    # One that does not open hides no other row.
    await sealed.sql("UPDATE subscriptions SET target_sealed = 'x'")
    rows, _, _ = await world.look.subscriptions(world.call(), "me", Page(200, ""), ())
    assert await world.look.web_pages(world.call(), rows) == {by_key[B]: ""}


# --- the upgrade


def migrated(mail: MailDatabase, direction: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["owner_url"] = mail.owner_url
    config.attributes["app_role"] = make_url(sqlalchemy_url(mail.app_url)).username
    getattr(command, direction)(config, revision)


def old_plan(method: str, **means: object) -> Jsonb:
    """As the release before wrote it."""
    shown = {"method": method, "reason": "MAILTO_ONLY", "explanation": "So."}
    needed = {"one_click_url": None, "mailto": None, "web_page_url": None, "alias": "o@x.example"}
    return Jsonb({**shown, **needed, **means})


OLD = {
    "post.example": ("one_click", {"one_click_url": 'https://news.example/secret-1?ä="1"&b=\\u0000'}),
    "mail.example": (
        "mailto",
        {"mailto": {"recipient": "leave@news.example", "subject": "secret-2", "body": "é\n"}},
    ),
    "page.example": ("web_page", {"web_page_url": "https://news.example/secret-3"}),
    "none.example": ("none", {}),
}


async def downgraded_with_rows(sealed: Sealed) -> None:
    """Rows as they were before targets were sealed."""
    await asyncio.to_thread(migrated, sealed.mail, "downgrade", "0004")
    ((mailbox_id,),) = await sealed.sql("SELECT id FROM mailboxes")
    for key, (method, means) in OLD.items():
        await sealed.sql(
            "INSERT INTO subscriptions (id, team_id, mailbox_id, key_kind, key, message_count, first_seen_at,"
            " last_seen_at, state, plan) VALUES (gen_random_uuid(), %s, %s, 'list_id', %s, 1, now(), now(),"
            " 'candidate', %s)",
            sealed.world.team_id, mailbox_id, key, old_plan(method, **means),
        )  # fmt: skip
    outcome = {"subscription_id": "s", "display_name": "", "state": "accepted", "method": "web_page"}
    result = {"dry_run": False, "outcomes": [{**outcome, "web_page_url": "https://x.example/secret-4"}]}
    await sealed.sql(
        "INSERT INTO operations (id, team_id, mailbox_id, kind, state, request_id, arguments, principal,"
        " edge, result) VALUES"
        " (gen_random_uuid(), %s, %s, 'unsubscribe', 'succeeded', 'r', '{}', '', '', %s)",
        sealed.world.team_id, mailbox_id, Jsonb(result),
    )  # fmt: skip
    await asyncio.to_thread(migrated, sealed.mail, "upgrade", "head")


@pytest.mark.parametrize("is_resealed", [False, True])
async def test_what_was_in_plain_before_an_upgrade_still_works_and_is_sealed_by_the_next_run(
    databases: Databases, tmp_path: Path, is_resealed: bool
) -> None:
    """Nothing is lost either way; after `secrets reseal` or `rotate` no link is in plain any more."""
    async with sealed_world(databases, tmp_path / "keys", OLD_K1) as sealed:
        await downgraded_with_rows(sealed)
        await plain_targets_work(sealed, is_resealed=is_resealed)


async def plain_targets_work(sealed: Sealed, *, is_resealed: bool) -> None:
    ((shown, operations),) = await sealed.sql(
        "SELECT (SELECT string_agg(plan::text, '') FROM subscriptions),"
        " (SELECT string_agg(result::text, '') FROM operations)"
    )
    assert "secret" not in shown + operations
    assert "accepted" in operations
    assert await sealed.uses() == {"k1": 1}
    assert (await sealed.values.uses()).unsealed == 3
    await sealed.use(K2, OLD_K1)
    if is_resealed:
        counts = await sealed.reseal_all()
        assert counts == {"examined": 4, "resealed": 4, "raced": 0, "unreadable": 0}
        kept = await sealed.kept()
        assert not [value for _, value in kept if b"secret" in value or is_plain(value)]
        assert await sealed.uses() == {"k1": 0, "k2": 4}
    done = await sealed.ask(*OLD)
    assert isinstance(done.result, UnsubscribeReport), done.error
    assert [each.state for each in done.result.outcomes] == ["accepted", "sent", "needs_person", "refused"]
    assert done.result.outcomes[2].web_page_url == "https://news.example/secret-3"
    assert sealed.world.one_click.posted == [OLD["post.example"][1]["one_click_url"]]
    (mail,) = sealed.world.gmail.sent
    assert (mail["To"], mail["Subject"], mail["From"]) == ("leave@news.example", "secret-2", "o@x.example")
    assert mail.get_content() == "é\n"


async def test_a_grant_in_plain_is_not_believed(sealed: Sealed) -> None:
    """Only targets were ever kept in plain: whoever can write the table must not plant a grant."""
    await sealed.use(OLD_K1)
    await sealed.sql("UPDATE mailboxes SET grant_sealed = %s", b'\x00{"refresh_token": "planted"}')
    assert (await sealed.reseal_all())["unreadable"] == 1
    await sealed.world.ask.scan(sealed.world.call(), "me", "", dry_run=False, max_messages=0)
    done = await sealed.world.run_all()
    assert done.error is not None
    assert done.error.reason == "GRANT_UNREADABLE"
