"""A sealed value belongs to its row, and whoever can write to the database brings no older form back."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.errors import AppError
from services.common.master_keys import FileMasterKeys, read_master_keys
from services.common.sealing import GRANT_COLUMN, TARGET_COLUMN, binds_row, key_id_of
from services.mail_core.adapters import postgres_master_keys
from services.mail_core.adapters.postgres_master_keys import KeyAgreement, UnfitMasterKeysError
from services.mail_core.domain.operation import OperationState, UnsubscribeReport
from services.mail_core.domain.records import Operation
from services.mail_core.operations.import_mailbox import ImportMailbox, StateFiles
from tests.fakes.gmail import FakeMailbox
from tests.integration.mail_core.sealed_world import K1, K2, OLD_K1, Sealed, sealed_world
from tests.postgres import Databases

A, B = "a.news.example", "b.news.example"
LINK = f"https://news.example/u/{A}"
SWAP = """UPDATE {table} AS kept SET {name} = other.{name} FROM {table} AS other
WHERE kept.id <> other.id AND kept.team_id = other.team_id"""


@pytest.fixture
async def sealed(databases: Databases, tmp_path: Path) -> AsyncIterator[Sealed]:
    async with sealed_world(databases, tmp_path / "keys") as made:
        yield made


@pytest.fixture
async def upgraded(databases: Databases, tmp_path: Path) -> AsyncIterator[Sealed]:
    """A system whose master key an older release had made."""
    async with sealed_world(databases, tmp_path / "keys", OLD_K1) as made:
        yield made


async def swap(sealed: Sealed, column: str) -> None:
    """Exchange what two rows hold, as one could who may write to the table."""
    table, _, name = column.partition(".")
    await sealed.sql(SWAP.format(table=table, name=name))


def failed_with(done: Operation) -> str:
    assert done.state is OperationState.FAILED
    assert done.error is not None
    return done.error.reason


async def reported(sealed: Sealed, reason: str) -> bool:
    """Whether the log of the team says that an operation failed so."""
    rows = await sealed.sql("SELECT event FROM audit_outbox WHERE team_id = %s", sealed.world.team_id)
    return any(reason.encode() in bytes(event) for (event,) in rows)


@pytest.mark.promise("secrets.sealed")
async def test_swapped_targets_of_one_team_end_neither_list(sealed: Sealed) -> None:
    """Typed, logged by row and recorded; nothing is claimed, used, sent or shown. Put back, both end."""
    await sealed.lists(A, B)
    await swap(sealed, TARGET_COLUMN)
    with structlog.testing.capture_logs() as logs:
        done = await sealed.ask(A, B)
    assert failed_with(done) == "TARGET_UNREADABLE"
    assert await sealed.unasked()
    assert await reported(sealed, "TARGET_UNREADABLE")
    ids = {row.id for row in (await sealed.world.subscriptions()).values()}
    told = [line for line in logs if line["event"] == "sealed_value_unreadable"]
    assert {line["id"] for line in told} <= ids
    assert {line["column"] for line in told} == {TARGET_COLUMN}
    assert "news.example/u" not in json.dumps(logs, default=str) + repr(done)
    await swap(sealed, TARGET_COLUMN)
    done = await sealed.ask(A, B)
    assert isinstance(done.result, UnsubscribeReport)
    assert [each.state for each in done.result.outcomes] == ["accepted", "accepted"]


@pytest.mark.promise("secrets.sealed")
async def test_swapped_grants_of_one_team_open_neither_mailbox(sealed: Sealed) -> None:
    """No scan of one person's mail ends up in another's mailbox."""
    world = sealed.world
    world.google.mailboxes["refresh-2"] = FakeMailbox(email_address="second@example.com")
    token = orjson.dumps({"refresh_token": "refresh-2"}).decode()
    second = await ImportMailbox(world.store, world.grants)(world.team_id, StateFiles(token))
    assert not second.is_replaced
    await swap(sealed, GRANT_COLUMN)
    ((first_id,),) = await sealed.sql("SELECT id FROM mailboxes WHERE id <> %s", second.mailbox.id)
    world.google.opened.clear()
    for mailbox_id in (str(first_id), second.mailbox.id):
        with structlog.testing.capture_logs() as logs:
            await world.ask.scan(world.call(), mailbox_id, "", dry_run=False, max_messages=0)
            done = await world.run_all()
        assert failed_with(done) == "GRANT_UNREADABLE"
        told = [line for line in logs if line["event"] == "sealed_value_unreadable"]
        assert [(line["column"], line["id"]) for line in told] == [(GRANT_COLUMN, mailbox_id)]
        assert "refresh-" not in json.dumps(logs, default=str)
    assert world.google.opened == []
    assert await reported(sealed, "GRANT_UNREADABLE")
    again = await ImportMailbox(world.store, world.grants)(world.team_id, StateFiles(token))
    assert (again.is_replaced, again.mailbox.id) == (True, second.mailbox.id)
    await world.ask.scan(world.call(), second.mailbox.id, "", dry_run=False, max_messages=0)
    assert (await world.run_all()).state is OperationState.SUCCEEDED


def opened_by_the_release_before(sealed: bytes, key: bytes, column: str, team_id: str) -> bytes:
    """Open a value as the release did that knew v2 as the newest form; it raises ValueError for others."""
    if sealed[0] != 2:
        raise ValueError("not a sealed value")
    named = 2 + sealed[1]
    wrapped_end = named + 2 + int.from_bytes(sealed[named : named + 2])
    wrapped, context = sealed[named + 2 : wrapped_end], f"{column}:{team_id}".encode()
    data_key = AESGCM(key).decrypt(wrapped[:12], wrapped[12:], context)
    rest = sealed[wrapped_end:]
    return AESGCM(data_key).decrypt(rest[:12], rest[12:], sealed[:wrapped_end] + context)


def sealed_by_the_release_before(text: bytes, key: bytes, column: str, team_id: str) -> bytes:
    """Seal as that release did."""
    context, data_key, nonce = f"{column}:{team_id}".encode(), bytes(range(32)), bytes(12)
    wrapped = nonce + AESGCM(key).encrypt(nonce, data_key, context)
    head = b"\x02\x02k1" + len(wrapped).to_bytes(2) + wrapped
    return head + nonce + AESGCM(data_key).encrypt(nonce, text, head + context)


@pytest.mark.promise("secrets.rotation")
async def test_beside_an_older_release_each_opens_what_the_other_wrote(upgraded: Sealed) -> None:
    """Until a rotation the key is one from before, and values have the form that both read."""
    sealed, team_id = upgraded, upgraded.world.team_id
    key = read_master_keys(sealed.file).keys["k1"]
    await sealed.lists(A, B)
    for value in await sealed.values.others(b"", None, 10):
        text = opened_by_the_release_before(value.sealed, key, value.column, team_id)
        assert b"refresh-1" in text or b"news.example" in text
    target = opened_by_the_release_before(
        (await sealed.world.subscriptions())[A].target_sealed or b"", key, TARGET_COLUMN, team_id
    )
    newer = sealed_by_the_release_before(target.replace(b"/u/a", b"/u/new"), key, TARGET_COLUMN, team_id)
    await sealed.sql("UPDATE subscriptions SET target_sealed = %s WHERE key = %s", newer, A)
    uses = await sealed.values.uses()
    assert [(use.key_id, use.count, use.older) for use in uses.keys] == [("k1", 3, 3)]
    await sealed.ask(A)
    assert sealed.world.one_click.posted == ["https://news.example/u/new.news.example"]


@pytest.mark.promise("secrets.rotation")
async def test_a_rotation_waits_for_the_last_older_replica_and_then_binds_every_row(upgraded: Sealed) -> None:
    """It cannot read the new file's lines, so it goes on with the old key, and so does everybody."""
    sealed = upgraded
    await sealed.lists(A, B)
    older = KeyAgreement(sealed.world.database, FileMasterKeys(sealed.file))
    await older.agree()
    assert await sealed.use(K2, OLD_K1) == "k1"
    await sealed.lists("c.news.example")
    assert {binds_row(value) for _, value in await sealed.kept()} == {False}
    await older.leave()
    assert await sealed.use(K2, OLD_K1) == "k2"
    await sealed.lists("d.news.example")
    uses = await sealed.values.uses()
    assert [(use.key_id, use.count, use.older) for use in uses.keys] == [("k1", 4, 4), ("k2", 1, 0)]
    assert await sealed.reseal_all() == {"examined": 4, "resealed": 4, "raced": 0, "unreadable": 0}
    assert {(binds_row(value), key_id_of(value)) for _, value in await sealed.kept()} == {(True, "k2")}
    with pytest.raises(ValueError, match="not a sealed value"):
        opened_by_the_release_before((await sealed.kept())[0][1], bytes(32), GRANT_COLUMN, "")


@pytest.mark.promise("secrets.sealed")
async def test_an_older_form_that_is_put_back_opens_for_nobody_once_its_key_is_retired(
    upgraded: Sealed,
) -> None:
    """Whoever kept a copy from before the upgrade and can write to the database; links in plain as well."""
    sealed = upgraded
    await sealed.lists(A, B)
    ((kept,),) = await sealed.sql("SELECT target_sealed FROM subscriptions WHERE key = %s", A)
    await sealed.use(K2, OLD_K1)
    await sealed.reseal_all()
    # A key can go only when nothing is under it and nothing is in plain.
    for planted in (kept, b"\x00{}"):
        await sealed.sql("UPDATE subscriptions SET target_sealed = %s WHERE key = %s", planted, B)
        with pytest.raises(AppError, match="1 values") as caught:
            await sealed.reseal.retire("k1")
        assert caught.value.reason == "MASTER_KEY_IN_USE"
    await sealed.reseal_all()
    async with sealed.world.database.transaction(postgres_master_keys.UPKEEP) as connection:
        await connection.exec_driver_sql("UPDATE master_keys SET last_current_at = now() - interval '1 min'")
    await sealed.agreement.agree()
    await sealed.reseal.retire("k1")
    await sealed.use(K2)
    plain = json.dumps({"one_click_url": LINK, "mailto": None, "web_page_url": None, "alias": ""}).encode()
    for planted in (kept, b"\x00" + plain, bytes([2]) + kept[1:]):
        await sealed.sql("UPDATE subscriptions SET target_sealed = %s WHERE key = %s", planted, B)
        assert failed_with(await sealed.ask(B)) == "TARGET_UNREADABLE"
    assert sealed.world.one_click.posted == []
    assert (await sealed.reseal_all())["unreadable"] == 1


async def test_a_key_from_before_that_is_marked_by_hand_is_refused_at_the_start(upgraded: Sealed) -> None:
    """All that was sealed under it would be unreadable."""
    upgraded.file.write_text(f"{K1}\n")
    late = KeyAgreement(upgraded.world.database, FileMasterKeys(upgraded.file))
    with pytest.raises(UnfitMasterKeysError, match="marks one from before"):
        await late.agree()


def test_the_release_before_refuses_a_marked_line() -> None:
    """Its parser took what follows the first colon for base64, strictly."""
    import base64
    import binascii

    with pytest.raises(binascii.Error):
        base64.b64decode(K2.partition(":")[2], validate=True)


async def test_values_of_the_release_before_do_not_open_in_another_place(upgraded: Sealed) -> None:
    """Bound to team and column they always were."""
    key = read_master_keys(upgraded.file).keys["k1"]
    ((grant,),) = await upgraded.sql("SELECT grant_sealed FROM mailboxes")
    with pytest.raises(InvalidTag):
        opened_by_the_release_before(grant, key, TARGET_COLUMN, upgraded.world.team_id)
