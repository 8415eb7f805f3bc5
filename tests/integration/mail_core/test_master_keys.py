"""Master keys rotate while replicas work: agreed before used, re-encrypted in batches, never half lost."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.audit import AuditEvent
from services.common.database import Database
from services.common.errors import AppError
from services.common.master_keys import FileMasterKeys, new_master_key_line, read_master_keys
from services.common.sealing import GRANT_COLUMN, Place, Sealer, SealError, key_id_of
from services.mail_core.adapters import postgres_master_keys
from services.mail_core.adapters.postgres_master_keys import (
    KeyAgreement,
    PostgresSealedValues,
    UnfitMasterKeysError,
)
from services.mail_core.domain.ids import TeamId
from services.mail_core.operations import reseal_secrets
from services.mail_core.operations.reseal_secrets import ResealSecrets
from services.mail_core.secret_ports import KeyUse, SealedValue
from tests.fakes.mail_database import fresh_database
from tests.postgres import Databases


@dataclass
class Replica:
    """One process's part, with a key file of its own."""

    file: Path
    database: Database
    events: list[AuditEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = FileMasterKeys(self.file)
        self.agreement = KeyAgreement(self.database, self.keys)
        self.values = PostgresSealedValues(self.database)
        self.reseal = ResealSecrets(self.values, Sealer(self.keys), self.record)

    async def record(self, events: Sequence[AuditEvent]) -> None:
        self.events += events

    def write(self, *lines: str) -> None:
        self.file.write_text("\n".join(lines) + "\n")
        self.keys._watched.refresh()

    async def store(self, plaintext: str, sealed: bytes = b"") -> SealedValue:
        """Keep a grant of a new mailbox of a new team."""
        team_id, mailbox_id = str(uuid.uuid4()), str(uuid.uuid4())
        place = Place(team_id, GRANT_COLUMN, mailbox_id)
        sealed = sealed or await Sealer(self.keys).seal(plaintext.encode(), place)
        async with self.database.team(team_id) as connection:
            await connection.exec_driver_sql(
                "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed)"
                " VALUES (%s, %s, %s, 'active', %s)",
                (mailbox_id, team_id, f"{mailbox_id}@example.com", sealed),
            )
        return SealedValue(GRANT_COLUMN, mailbox_id, TeamId(team_id), sealed[: 2 + sealed[1]], sealed)

    async def grants(self) -> dict[str, tuple[str, str]]:
        """What every grant says, and under which key, by mailbox."""
        found = {}
        for value in await self.values.others(b"", None, 10_000):
            plaintext = await Sealer(self.keys).open(value.sealed, value.place)
            found[value.id] = (plaintext.decode(), key_id_of(value.sealed))
        return found

    async def reseal_all(self) -> tuple[int, int]:
        resealed = raced = 0
        token = ""
        while True:
            done = await self.reseal(token)
            resealed, raced, token = resealed + done.resealed, raced + done.raced, done.next_page_token
            if not token:
                return resealed, raced


K1, K2, K3 = (new_master_key_line(name) for name in ("k1", "k2", "k3"))
OLD_K1 = K1.removesuffix(":v3")


@pytest.fixture
async def replicas(databases: Databases, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    async with fresh_database(databases) as mail, contextlib.AsyncExitStack() as stack:
        made = []
        for name in ("one", "two"):
            database = Database(mail.app_url, pool_size=4)
            stack.push_async_callback(database.close)
            (tmp_path / name).write_text(f"{K1}\n")
            made.append(Replica(tmp_path / name, database))
            await made[-1].agreement.agree()
        yield made[0], made[1]


async def age(replica: Replica, seconds: int) -> None:
    """Let everything that the database remembers of keys be older."""
    async with replica.database.transaction(postgres_master_keys.UPKEEP) as connection:
        for table, column in (("master_keys", "last_current_at"), ("master_key_holders", "seen_at")):
            await connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = {column} - interval '{seconds} s'"
            )


async def test_a_new_key_seals_only_once_every_replica_holds_it(replicas: tuple[Replica, Replica]) -> None:
    """The file that is written first announces; the last one lets it be used."""
    one, two = replicas
    one.write(K2, K1)
    assert await one.agreement.agree() == "k1"
    value = await one.store("grant")
    assert key_id_of(value.sealed) == "k1"
    assert (await two.grants())[value.id] == ("grant", "k1")
    two.write(K1, K2)
    assert await two.agreement.agree() == "k1"
    assert await one.agreement.agree() == "k2"
    value = await one.store("grant 2")
    assert key_id_of(value.sealed) == "k2"
    assert (await two.grants())[value.id] == ("grant 2", "k2")


async def test_a_replica_that_died_is_not_waited_for_long_and_one_that_left_not_at_all(
    replicas: tuple[Replica, Replica],
) -> None:
    """15 seconds without a word is death."""
    one, two = replicas
    one.write(K2, K1)
    assert await one.agreement.agree() == "k1"
    await age(one, 16)
    assert await one.agreement.agree() == "k2"
    two.write(K2, K1)
    await two.agreement.agree()
    one.write(K3, K2, K1)
    assert await one.agreement.agree() == "k2"
    await two.agreement.leave()
    assert await one.agreement.agree() == "k3"


async def test_a_start_with_keys_that_do_not_fit_is_refused_by_name(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    """A missing key, another key of the same name, and no key in common with those that run."""
    one, _ = replicas
    await one.store("grant")

    async def refusal(*lines: str) -> str:
        file = tmp_path / "late"
        file.write_text("\n".join(lines))
        with pytest.raises(UnfitMasterKeysError) as caught:
            await Replica(file, one.database).agreement.agree()
        assert "base64" not in str(caught.value)
        return str(caught.value)

    assert "lacks k1" in await refusal(K2)
    assert "another key under the id k1" in await refusal(K2, new_master_key_line("k1"))
    one.write(K2, K1)
    await one.agreement.agree()
    assert len(await one.values.holders()) == 2
    # A row whose key has no canary, as the first version wrote them, counts as well.
    await one.store("", b"\x01\x02k0" + bytes(40))
    assert "lacks k0" in await refusal(K1, K2)


async def test_everything_is_sealed_anew_and_the_old_key_can_go(replicas: tuple[Replica, Replica]) -> None:
    """What the first version sealed as well; counts and audit say what was done; nothing is done twice."""
    one, two = replicas
    async with one.database.transaction(postgres_master_keys.UPKEEP) as connection:
        await connection.exec_driver_sql("DELETE FROM master_keys")
    for replica in replicas:
        replica.write(OLD_K1)
        await replica.agreement.agree()
    for number in range(5):
        await one.store(f"grant {number}")
    team_id = str(uuid.uuid4())
    key = read_master_keys(one.file).keys["k1"]
    old = b"\x01\x02k1" + bytes(12) + AESGCM(key).encrypt(bytes(12), b"first", team_id.encode())
    async with one.database.team(team_id) as connection:
        await connection.exec_driver_sql(
            "INSERT INTO mailboxes (id, team_id, email_address, state, grant_sealed)"
            " VALUES (gen_random_uuid(), %s, 'a@example.com', 'active', %s)",
            (team_id, old),
        )
    for replica in replicas:
        replica.write(K2, OLD_K1)
        await replica.agreement.agree()
    await one.agreement.agree()
    before = {text for text, _ in (await two.grants()).values()}
    assert (await one.values.uses()).keys == (KeyUse("k1", 6, 6), KeyUse("k2", 0, 0))
    with pytest.raises(AppError, match="6 values"):
        await one.reseal.retire("k1")
    assert await one.reseal_all() == (6, 0)
    assert await two.reseal_all() == (0, 0)
    after = await two.grants()
    assert {text for text, _ in after.values()} == before
    assert {key_id for _, key_id in after.values()} == {"k2"}
    assert [event.action for event in one.events] == ["secrets.resealed"]
    assert one.events[0].facts == {"count": "6"}
    with pytest.raises(AppError, match="last 30 s"):
        await one.reseal.retire("k1")
    await age(one, 31)
    await one.agreement.agree()
    await two.agreement.agree()
    await one.reseal.retire("k1")
    assert [event.action for event in one.events] == ["secrets.resealed", "secrets.key_retired"]
    with pytest.raises(AppError) as caught:
        await one.reseal.retire("k2")
    assert caught.value.reason == "MASTER_KEY_IN_USE"
    with pytest.raises(AppError) as caught:
        await one.reseal.retire("k9")
    assert caught.value.reason == "MASTER_KEY_NOT_FOUND"
    one.write(K2)
    assert await one.agreement.agree() == "k2"
    assert {text for text, _ in (await one.grants()).values()} == before


@pytest.mark.promise("secrets.rotation")
async def test_a_run_that_is_killed_in_the_middle_is_taken_up_again(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled after some rows, in a batch: every grant opens, and the next run does the rest."""
    monkeypatch.setattr(reseal_secrets, "BATCH", 4)
    one, two = replicas
    for number in range(10):
        await one.store(f"grant {number}")
    for replica in (*replicas, one):
        replica.write(K2, K1)
        await replica.agreement.agree()
    replaced = 0

    class Dying(PostgresSealedValues):
        async def replace(self, value: SealedValue, sealed: bytes) -> bool:
            nonlocal replaced
            if replaced == 6:
                raise asyncio.CancelledError
            replaced += 1
            return await super().replace(value, sealed)

    one.reseal = ResealSecrets(Dying(one.database), Sealer(one.keys), one.record)
    with pytest.raises(asyncio.CancelledError):
        await one.reseal_all()
    halfway = await two.grants()
    assert sorted(key_id for _, key_id in halfway.values()) == ["k1"] * 4 + ["k2"] * 6
    assert await two.reseal_all() == (4, 0)
    assert {key_id for _, key_id in (await two.grants()).values()} == {"k2"}
    assert len(await two.grants()) == 10


@pytest.mark.promise("secrets.rotation")
async def test_a_grant_that_is_stored_meanwhile_stays(replicas: tuple[Replica, Replica]) -> None:
    """Compare and swap: the run has read the old value, the writer wins, and is counted as such."""
    one, two = replicas
    value = await one.store("old grant")
    for replica in (*replicas, one):
        replica.write(K2, K1)
        await replica.agreement.agree()

    class Interrupted(PostgresSealedValues):
        async def replace(self, value: SealedValue, sealed: bytes) -> bool:
            newer = await Sealer(two.keys).seal(b"new grant", value.place)
            async with two.database.team(value.team_id) as connection:
                await connection.exec_driver_sql(
                    "UPDATE mailboxes SET grant_sealed = %s WHERE id = %s", (newer, value.id)
                )
            return await super().replace(value, sealed)

    one.reseal = ResealSecrets(Interrupted(one.database), Sealer(one.keys), one.record)
    assert await one.reseal_all() == (0, 1)
    assert (await two.grants())[value.id] == ("new grant", "k2")


@pytest.mark.promise("secrets.rotation")
async def test_writers_and_two_runs_at_once_lose_nothing(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas re-encrypt the same rows while grants are replaced and added."""
    monkeypatch.setattr(reseal_secrets, "BATCH", 5)
    one, two = replicas
    values = [await one.store(f"grant {number}") for number in range(40)]
    for replica in (*replicas, one):
        replica.write(K2, K1)
        await replica.agreement.agree()
    newest: dict[str, str] = {}

    async def rewrite(replica: Replica, share: list[SealedValue]) -> None:
        for number, value in enumerate(share):
            text = f"newer {number}"
            sealed = await Sealer(replica.keys).seal(text.encode(), value.place)
            async with replica.database.team(value.team_id) as connection:
                await connection.exec_driver_sql(
                    "UPDATE mailboxes SET grant_sealed = %s WHERE id = %s", (sealed, value.id)
                )
            newest[value.id] = text
            newest[(await replica.store(text)).id] = text

    await asyncio.gather(
        one.reseal_all(), two.reseal_all(), rewrite(one, values[::4]), rewrite(two, values[1::4])
    )
    await one.reseal_all()
    found = await two.grants()
    assert {key_id for _, key_id in found.values()} == {"k2"}
    wanted = {value.id: f"grant {number}" for number, value in enumerate(values)} | newest
    assert {mailbox_id: text for mailbox_id, (text, _) in found.items()} == wanted


async def test_what_does_not_open_is_left_alone_and_counted(replicas: tuple[Replica, Replica]) -> None:
    """One damaged row stops no run."""
    one, _ = replicas
    damaged = await one.store("", b"\x03\x02k1" + bytes(120))
    await one.store("good")
    for replica in (*replicas, one):
        replica.write(K2, K1)
        await replica.agreement.agree()
    done = await one.reseal()
    assert (done.examined, done.resealed, done.unreadable) == (2, 1, 1)
    page = {value.id: value.sealed for value in await one.values.others(b"", None, 10)}
    assert page[damaged.id] == damaged.sealed
    with pytest.raises(SealError):
        await one.grants()


async def test_upkeep_shows_sealed_values_but_changes_none(replicas: tuple[Replica, Replica]) -> None:
    """The setting that lets rows be found across teams is for reading; each is written as its team."""
    one, _ = replicas
    await one.store("grant")
    async with one.database.transaction(postgres_master_keys.UPKEEP) as connection:
        changed = await connection.exec_driver_sql("UPDATE mailboxes SET grant_sealed = ''")
    assert changed.rowcount == 0
    async with one.database.transaction({}) as connection:
        for table in ("mailboxes", "master_keys", "master_key_holders"):
            seen = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert seen.scalar_one() == 0
