"""The mail core with its master key in a key service: moved there, rotated there, and while it is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.doctor.findings import Status
from services.cli.doctor.secrets import all_open
from services.common.errors import AppError
from services.common.master_key_ring import KeyRing, KeySource
from services.common.sealing import Sealer, UnfitMasterKeysError, binds_row
from services.common.transit_keys import TransitKeys
from services.common.vault_api import VaultApi, VaultConfig
from services.mail_core.adapters import postgres_master_keys
from services.mail_core.adapters.postgres_master_keys import KeyAgreement
from services.mail_core.domain.operation import OperationState, UnsubscribeReport
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.reseal_secrets import ResealSecrets
from tests.fakes.transit_host import TOKEN, TransitHost, serving_transit
from tests.integration.mail_core.sealed_world import OLD_K1, Sealed, sealed_world
from tests.postgres import Databases

A, B, C = "a.news.example", "b.news.example", "c.news.example"
NO_POST = {"List_Unsubscribe_Post": ""}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[TransitHost]:
    async with serving_transit(tmp_path / "certs") as served:
        yield served


@pytest.fixture
async def sealed(databases: Databases, tmp_path: Path) -> AsyncIterator[Sealed]:
    async with sealed_world(databases, tmp_path / "keys", OLD_K1) as made:
        yield made


@pytest.fixture
async def transit(host: TransitHost, tmp_path: Path) -> AsyncIterator[TransitKeys]:
    (tmp_path / "token").write_text(TOKEN)
    config = VaultConfig(host.url, timeout_s=5, ca_file=host.ca_file, token_file=tmp_path / "token")
    api = VaultApi(config)
    yield TransitKeys(api, "mailwarden")
    await api.close()


async def restart(sealed: Sealed, *sources: KeySource) -> str:
    """Start the core anew with keys from elsewhere; gives the key that seals."""
    await sealed.agreement.leave()
    ring = KeyRing(sources)
    sealed.agreement = KeyAgreement(sealed.world.database, ring)
    chosen = await sealed.agreement.agree()
    sealed.reseal = ResealSecrets(sealed.values, Sealer(ring), sealed.record)
    sealed.world.seal_with(Sealer(ring))
    return chosen


async def retire(sealed: Sealed, key_id: str) -> None:
    async with sealed.world.database.transaction(postgres_master_keys.UPKEEP) as connection:
        await connection.exec_driver_sql("UPDATE master_keys SET last_current_at = now() - interval '1 min'")
    await sealed.agreement.agree()
    await sealed.reseal.retire(key_id)


@pytest.mark.promise("secrets.rotation")
async def test_a_system_moves_from_its_file_to_a_service_and_rotates_there(
    sealed: Sealed, transit: TransitKeys, host: TransitHost
) -> None:
    """Both for a while, re-encrypted in batches, then the service alone; every list ends."""
    await sealed.lists(A, B, C)
    assert await restart(sealed, transit, sealed.keys) == "mailwarden.v1"
    host.requests.clear()
    assert await sealed.reseal_all() == {"examined": 4, "resealed": 4, "raced": 0, "unreadable": 0}
    assert host.requests == [("transit/encrypt/mailwarden", 4)]
    await retire(sealed, "k1")
    assert await restart(sealed, transit) == "mailwarden.v1"
    host.keys["mailwarden"].rotate()
    assert await sealed.agreement.agree() == "mailwarden.v2"
    host.requests.clear()
    assert (await sealed.reseal_all())["resealed"] == 4
    assert sorted(host.requests) == [("transit/decrypt/mailwarden", 4), ("transit/encrypt/mailwarden", 4)]
    assert await sealed.uses() == {"mailwarden.v1": 0, "mailwarden.v2": 4}
    assert {binds_row(value) for _, value in await sealed.kept()} == {True}
    await retire(sealed, "mailwarden.v1")
    host.keys["mailwarden"].min_decryption_version = 2
    assert await sealed.agreement.agree() == "mailwarden.v2"
    done = await sealed.ask(A, B, C)
    assert isinstance(done.result, UnsubscribeReport), done.error
    assert {each.state for each in done.result.outcomes} == {SubscriptionState.ACCEPTED}


async def test_ending_a_version_that_values_need_is_told_by_name(
    sealed: Sealed, transit: TransitKeys, host: TransitHost
) -> None:
    """`min_decryption_version` raised too early: put back, all goes on."""
    await restart(sealed, transit, sealed.keys)
    host.keys["mailwarden"].rotate()
    host.keys["mailwarden"].min_decryption_version = 2
    with pytest.raises(UnfitMasterKeysError, match=r"lacks mailwarden\.v1"):
        await sealed.agreement.agree()
    host.keys["mailwarden"].min_decryption_version = 1
    assert await sealed.agreement.agree() == "mailwarden.v2"


async def test_a_scan_and_a_list_cost_a_round_trip_each(
    sealed: Sealed, transit: TransitKeys, host: TransitHost
) -> None:
    """However many lists are found, and however many pages are left to a person."""
    await restart(sealed, transit, sealed.keys)
    await sealed.reseal_all()
    host.requests.clear()
    await sealed.lists(A, B, C, **NO_POST)
    assert host.requests == [("transit/decrypt/mailwarden", 1), ("transit/encrypt/mailwarden", 3)]
    await sealed.ask(A, B, C)
    rows = list((await sealed.world.subscriptions()).values())
    host.requests.clear()
    pages = await sealed.world.look.web_pages(sealed.world.call(), rows)
    assert sorted(pages.values()) == [f"https://news.example/u/{name}" for name in (A, B, C)]
    assert host.requests == [("transit/decrypt/mailwarden", 3)]


@pytest.mark.promise("secrets.sealed")
async def test_while_the_service_is_away_work_waits_and_nothing_is_called_unreadable(
    sealed: Sealed, transit: TransitKeys, host: TransitHost
) -> None:
    """Put off, not failed; a grant is not given up; a list does not pretend that there is no page."""
    await restart(sealed, transit, sealed.keys)
    await sealed.reseal_all()
    await sealed.lists(A)
    await sealed.lists(B, **NO_POST)
    await sealed.ask(B)
    world = sealed.world
    host.is_sealed = True
    known = await world.subscriptions()
    with pytest.raises(AppError) as caught:
        await world.look.web_pages(world.call(), list(known.values()))
    assert caught.value.reason == "KEY_SERVICE_DOWN"
    await world.ask.unsubscribe(world.call(), "me", "", [known[A].id], dry_run=False)
    queued = world.queue.queued[-1]
    with pytest.raises(AppError) as caught:
        await world.run_all(is_last_try=False)
    assert caught.value.reason == "KEY_SERVICE_DOWN"
    assert (await world.operation(queued)).state is OperationState.QUEUED
    # The replica is still there, so that no other goes on to a key that it has not.
    assert await sealed.agreement.agree() == "mailwarden.v1"
    assert [holder.seals_under for holder in await sealed.values.holders()] == ["mailwarden.v1"]
    late = KeyAgreement(world.database, KeyRing([transit]))
    with pytest.raises(AppError) as caught:
        await late.agree()
    assert caught.value.reason == "KEY_SERVICE_DOWN"
    assert world.one_click.posted == []
    host.is_sealed = False
    world.queue.queued.append(queued)
    assert (await world.run_all()).state is OperationState.SUCCEEDED
    assert world.one_click.posted == [f"https://news.example/u/{A}"]


@pytest.mark.promise("secrets.doctor")
async def test_the_doctor_opens_values_by_the_service(
    sealed: Sealed, transit: TransitKeys, host: TransitHost
) -> None:
    """And fails, saying why, when it cannot be asked."""
    await restart(sealed, transit, sealed.keys)
    await sealed.lists(A, B)
    ring = KeyRing([transit, sealed.keys])
    found = await all_open(sealed.mail.app_url, ring)
    assert (found.status, found.evidence[:18]) == (Status.PASS, "all 3 sealed value")
    host.is_sealed = True
    found = await all_open(sealed.mail.app_url, ring)
    assert found.status is Status.FAIL
    assert "KEY_SERVICE_DOWN" in found.evidence
