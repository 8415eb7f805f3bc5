"""Master keys in Vault or OpenBao, over real TLS: what opens, what does not, and what nobody can say."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.common.errors import AppError
from services.common.master_key_ring import KeyRing, MasterKeySettings, opened_master_keys
from services.common.master_keys import FileMasterKeys, new_master_key_line
from services.common.sealing import Place, Sealer, SealError, UnfitMasterKeysError, binds_row, key_id_of
from services.common.transit_keys import MAX_BATCH, TransitKeys
from services.common.vault_api import TRIES, VaultApi, VaultConfig
from tests.fakes.transit_host import TOKEN, TransitHost, TransitKey, serving_transit

TEAM, ROW = "5d5f5c1e-0000-4000-8000-000000000001", "5d5f5c1e-0000-4000-8000-00000000000a"
HERE = Place(TEAM, "mailboxes.grant_sealed", ROW)
JWT = "eyJ-planted-service-account-token"


class Client:
    """One process's keys in a Vault, with a token in a file."""

    def __init__(self, host: TransitHost, folder: Path) -> None:
        self.token_file, self.jwt_file = folder / "token", folder / "jwt"
        self.token_file.write_text(TOKEN + "\n")
        self.jwt_file.write_text(JWT)
        self.config = VaultConfig(
            host.url, timeout_s=5, ca_file=host.ca_file, token_file=self.token_file,
            role_token_file=self.jwt_file,
        )  # fmt: skip
        self.opened: list[VaultApi] = []
        self.use()

    def use(self, **changes: Any) -> None:
        """Begin anew with other settings."""
        self.opened.append(VaultApi(replace(self.config, **changes)))
        self.keys = TransitKeys(self.opened[-1], "mailwarden")
        self.ring = KeyRing([self.keys])
        self.sealer = Sealer(self.ring)

    async def begin(self) -> None:
        """Look which keys there are and seal under the newest."""
        await self.ring.refresh()
        self.ring.seal_under(self.ring.key_ids[0])

    async def failure(self) -> str:
        """The reason with which a look fails."""
        with pytest.raises(AppError) as caught:
            await self.ring.refresh()
        return caught.value.reason


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[TransitHost]:
    async with asyncio.timeout(60), serving_transit(tmp_path / "certs") as served:
        yield served


@pytest.fixture
async def client(host: TransitHost, tmp_path: Path) -> AsyncIterator[Client]:
    made = Client(host, tmp_path)
    await made.begin()
    yield made
    for api in made.opened:
        await api.close()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.mark.promise("secrets.sealed")
async def test_a_value_opens_in_its_place_alone_and_the_master_key_never_leaves(client: Client) -> None:
    """The engine binds team, column and row as associated data; another place is not opened by it."""
    value = await client.sealer.seal(b"grant", HERE)
    assert (key_id_of(value), binds_row(value)) == ("mailwarden.v1", True)
    assert await client.sealer.open(value, HERE) == b"grant"
    for place in (Place(TEAM, HERE.column, TEAM), Place(ROW, HERE.column, ROW), Place(TEAM, "a.b", ROW)):
        with pytest.raises(SealError):
            await client.sealer.open(value, place)
    for changed in (value[:-1], value.replace(b"vault:v1:", b"vault:v2:"), value.replace(b".v1", b".v2")):
        with pytest.raises(SealError):
            await client.sealer.open(changed, HERE)


async def test_many_values_cost_one_round_trip(client: Client, host: TransitHost) -> None:
    """What is asked for at once goes together, as many as a request takes; each has its own data key."""
    count = MAX_BATCH + 50
    host.requests.clear()
    sealed = await asyncio.gather(*(client.sealer.seal(b"%d" % n, HERE) for n in range(count)))
    opened = await asyncio.gather(*(client.sealer.open(value, HERE) for value in sealed))
    assert opened == [b"%d" % number for number in range(count)]
    encrypt, decrypt = ("transit/encrypt/mailwarden", "transit/decrypt/mailwarden")
    assert sorted(host.requests) == sorted(
        [(encrypt, MAX_BATCH), (encrypt, 50), (decrypt, MAX_BATCH), (decrypt, 50)]
    )


@pytest.mark.parametrize("old_errors", [False, True])
async def test_one_that_does_not_open_spoils_no_other(
    client: Client, host: TransitHost, *, old_errors: bool
) -> None:
    """The engine answers such a batch with 400, or of some versions 500, and all results."""
    host.old_errors = old_errors
    values = [await client.sealer.seal(b"%d" % number, HERE) for number in range(3)]
    elsewhere = Place(TEAM, HERE.column, TEAM)
    host.requests.clear()
    opened = await asyncio.gather(
        client.sealer.open(values[0], HERE), client.sealer.open(values[1], elsewhere),
        client.sealer.open(values[2], HERE), return_exceptions=True,
    )  # fmt: skip
    assert (opened[0], type(opened[1]), opened[2]) == (b"0", SealError, b"2")
    assert host.requests == [("transit/decrypt/mailwarden", 3)]


async def test_whoever_gives_up_leaves_the_others_their_answers(client: Client, host: TransitHost) -> None:
    """A caller whose deadline passed is in the middle of a batch."""
    value = await client.sealer.seal(b"grant", HERE)
    host.may_answer.clear()
    one, two = (asyncio.create_task(client.sealer.open(value, HERE)) for _ in range(2))
    while len(host.requests) < 3:
        await asyncio.sleep(0)
    one.cancel()
    host.may_answer.set()
    assert await two == b"grant"


@pytest.mark.promise("secrets.rotation")
async def test_versions_of_the_key_are_our_master_keys(client: Client, host: TransitHost) -> None:
    """Rotated there, the newest is preferred; ended there, what it wrapped opens no more."""
    old = await client.sealer.seal(b"old", HERE)
    host.keys["mailwarden"].rotate()
    await client.ring.refresh()
    assert client.ring.key_ids == ("mailwarden.v2", "mailwarden.v1")
    assert key_id_of(await client.sealer.seal(b"x", HERE)) == "mailwarden.v1"  # until it is agreed
    client.ring.seal_under("mailwarden.v2")
    new = await client.sealer.seal(b"new", HERE)
    assert [await client.sealer.open(value, HERE) for value in (old, new)] == [b"old", b"new"]
    host.keys["mailwarden"].min_decryption_version = 2
    await client.ring.refresh()
    assert client.ring.key_ids == ("mailwarden.v2",)
    with pytest.raises(SealError):
        await client.sealer.open(old, HERE)
    assert await client.sealer.open(new, HERE) == b"new"


async def test_a_version_that_we_have_not_heard_of_yet_opens(client: Client, host: TransitHost) -> None:
    """Another replica looked first."""
    host.keys["mailwarden"].rotate()
    api = VaultApi(client.config)
    other = KeyRing([TransitKeys(api, "mailwarden")])
    await other.refresh()
    other.seal_under("mailwarden.v2")
    value = await Sealer(other).seal(b"new", HERE)
    assert client.ring.key_ids == ("mailwarden.v1",)
    assert await client.sealer.open(value, HERE) == b"new"
    await api.close()


@pytest.mark.parametrize(
    "key",
    [
        None,
        TransitKey(derived=True),
        TransitKey(type="rsa-4096"),
        TransitKey(type="hmac"),
        TransitKey(type=["a"]),  # type: ignore[arg-type]
    ],  # type: ignore[arg-type]
)
async def test_a_key_that_cannot_serve_is_named_at_the_start(
    client: Client, host: TransitHost, key: TransitKey | None
) -> None:
    """Missing, derived, or of a type that takes no associated data."""
    host.keys.clear()
    if key is not None:
        host.keys["mailwarden"] = key
    with pytest.raises(UnfitMasterKeysError, match="transit key mailwarden"):
        await client.ring.refresh()


async def test_a_key_that_went_away_is_an_outage_and_makes_no_new_one(
    client: Client, host: TransitHost
) -> None:
    """Nothing is lost by it: with the key back, all opens."""
    value = await client.sealer.seal(b"grant", HERE)
    kept = host.keys.pop("mailwarden")
    for call in (client.sealer.seal(b"x", HERE), client.sealer.open(value, HERE)):
        with pytest.raises(AppError) as caught:
            await call
        assert caught.value.reason == "KEY_SERVICE_DOWN"
    host.keys["mailwarden"] = kept
    assert await client.sealer.open(value, HERE) == b"grant"


@pytest.mark.parametrize(
    "trouble",
    [
        {"is_sealed": True},
        {"tokens": set()},
        {"namespace": "other"},
        {"statuses": [500, 502]},
        {"statuses": [429, 503]},
        {"statuses": [307, 307]},
        {"statuses": [400]},
        {"raw": b""},
        {"raw": b"not json"},
        {"raw": b"[" * 100_000},
        {"raw": b'{"data": 1}'},
        {"raw": b'{"data": {"batch_results": []}}'},
        {"raw": b'{"data": {"batch_results": [{"plaintext": 1, "ciphertext": 1}]}}'},
        {"raw": b'{"data": {"batch_results": [{"plaintext": "!", "ciphertext": "vault:v9:AAAA"}]}}'},
        {"raw": b'{"data": {"batch_results": [{"plaintext": "\\u00e9", "ciphertext": "\\u00e9"}]}}'},
        {"raw": b'{"data": {"batch_results": [{"plaintext": "!", "ciphertext": "vault:v1:\\n"}]}}'},
        {"raw": b'{"data": {"batch_results": [{"ciphertext": "vault:v1:%s"}]}}' % (b"A" * 2_000)},
        {"raw": b"x" * (5 * 1024 * 1024)},
    ],
    ids=str,
)
@pytest.mark.promise("secrets.logs")
async def test_a_service_in_trouble_fails_closed_in_bounded_tries_and_recovers(
    client: Client, host: TransitHost, logs: list[Any], trouble: dict[str, Any]
) -> None:
    """Typed and worth another try; never `unreadable`, never some bytes; nothing secret is logged."""
    value = await client.sealer.seal(b"grant", HERE)
    former = {name: getattr(host, name) for name in trouble}
    for call in (client.sealer.seal(b"x", HERE), client.sealer.open(value, HERE)):
        for name, ordered in trouble.items():
            setattr(host, name, list(ordered) if isinstance(ordered, list) else ordered)
        host.requests.clear()
        with pytest.raises(AppError) as caught:
            await call
        assert (caught.value.reason, caught.value.mapped.retryable) == ("KEY_SERVICE_DOWN", True)
        assert 1 <= len(host.requests) <= TRIES
    for name, was in former.items():
        setattr(host, name, was)
    assert await client.sealer.open(value, HERE) == b"grant"
    assert logs
    told = json.dumps(logs, default=str) + repr(client.__dict__) + repr(client.opened[0].__dict__)
    assert not [each for each in (TOKEN, "plaintext", "vault:v") if each in told]


@pytest.mark.parametrize("newest", ["1e9", "0", "1000000000", "1" + "0" * 40])
async def test_a_look_that_tells_of_no_versions_is_an_outage(
    client: Client, host: TransitHost, newest: str
) -> None:
    """None, or more than there can be, or nothing at all; what was known is still used."""
    known = '"type": "aes256-gcm96", "derived": false, "min_decryption_version": 1'
    host.raw = f'{{"data": {{{known}, "latest_version": {newest}}}}}'.encode()
    assert await client.failure() == "KEY_SERVICE_DOWN"
    for nothing in (b"", b"<html>"):
        host.raw = nothing
        assert await client.failure() == "KEY_SERVICE_DOWN"
    host.raw = None
    assert client.ring.key_ids == ("mailwarden.v1",)


async def test_one_failure_is_tried_again(client: Client, host: TransitHost) -> None:
    """A standby that takes over, or a limit that was hit."""
    for status in (500, 503, 429, 412):
        host.statuses = [status]
        assert await client.sealer.open(await client.sealer.seal(b"x", HERE), HERE) == b"x"


async def test_a_service_that_does_not_answer_is_given_up_on_in_time(
    client: Client, host: TransitHost
) -> None:
    """Silent, gone, or not the one that the authority vouches for."""
    client.use(timeout_s=0.2)
    host.may_answer.clear()
    assert await client.failure() == "KEY_SERVICE_DOWN"
    host.may_answer.set()
    await client.begin()
    client.use(url="https://127.0.0.1:1")
    assert await client.failure() == "KEY_SERVICE_DOWN"
    requests = len(host.requests)
    client.use(ca_file=None)
    assert await client.failure() == "KEY_SERVICE_DOWN"
    client.use(url=host.url.replace("127.0.0.1", "127.0.0.2"))
    assert await client.failure() == "KEY_SERVICE_DOWN"
    assert len(host.requests) == requests


async def test_a_token_that_is_replaced_in_its_file_is_used_at_once(
    client: Client, host: TransitHost, tmp_path: Path
) -> None:
    """As an agent beside us writes it; a half-written one changes nothing."""
    host.tokens = {"hvs.next"}
    assert await client.failure() == "KEY_SERVICE_DOWN"
    client.token_file.write_text("hvs.next")
    await client.begin()
    client.token_file.write_text("")
    await client.begin()
    with pytest.raises(ValueError, match="must hold one token") as caught:
        VaultApi(replace(client.config, token_file=client.token_file))
    assert "hvs" not in str(caught.value)
    with pytest.raises(OSError, match="none"):
        VaultApi(replace(client.config, token_file=tmp_path / "none"))


async def test_a_role_of_kubernetes_logs_in_once_and_again_when_its_token_ends(
    client: Client, host: TransitHost, logs: list[Any]
) -> None:
    """With the projected token of the pod, which is read each time."""
    client.use(token_file=None, role="mail-core")
    host.roles = {"mail-core": "another"}
    assert await client.failure() == "KEY_SERVICE_DOWN"
    host.roles = {"mail-core": JWT}
    host.requests.clear()
    await client.begin()
    value = await client.sealer.seal(b"grant", HERE)
    assert [path for path, _ in host.requests].count("auth/kubernetes/login") == 1
    host.tokens.clear()
    assert await client.sealer.open(value, HERE) == b"grant"
    assert [path for path, _ in host.requests].count("auth/kubernetes/login") == 2
    host.tokens.clear()
    host.roles.clear()
    assert await client.failure() == "KEY_SERVICE_DOWN"
    assert JWT not in json.dumps(logs, default=str)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"auth": {"client_token": ""}}', b'{"auth": 1}'])
async def test_a_login_that_gives_no_token_is_an_outage(
    client: Client, host: TransitHost, answer: bytes
) -> None:
    """Whatever it says."""
    client.use(token_file=None, role="mail-core")
    host.raw = answer
    assert await client.failure() == "KEY_SERVICE_DOWN"


async def test_a_namespace_is_named_with_every_request(client: Client, host: TransitHost) -> None:
    """Of Vault Enterprise, HCP and OpenBao."""
    host.namespace = "team-a/mail"
    client.use(namespace="team-a/mail")
    await client.begin()
    assert await client.sealer.open(await client.sealer.seal(b"x", HERE), HERE) == b"x"


async def test_settings_open_a_file_a_service_or_both(host: TransitHost, tmp_path: Path) -> None:
    """With both the service is preferred, and what the file's keys sealed still opens."""
    file, token = tmp_path / "keys", tmp_path / "token"
    file.write_text(new_master_key_line("k1"))
    token.write_text(TOKEN)
    before = FileMasterKeys(file)
    before.seal_under("k1")
    value = await Sealer(before).seal(b"grant", HERE)
    vault = {
        "master_key_vault_url": f"{host.url}/", "master_key_vault_ca_file": host.ca_file,
        "master_key_vault_token_file": token,
    }  # fmt: skip
    for named, key_ids in (
        ({"master_key_file": file}, ("k1",)),
        (vault, ("mailwarden.v1",)),
        ({**vault, "master_key_file": file}, ("mailwarden.v1", "k1")),
    ):
        async with opened_master_keys(MasterKeySettings(**named)) as keys:  # type: ignore[arg-type]
            await keys.refresh()
            assert keys.key_ids == key_ids
            if "k1" in key_ids:
                assert await Sealer(keys).open(value, HERE) == b"grant"
            else:
                with pytest.raises(SealError):
                    await Sealer(keys).open(value, HERE)
    file.write_text(new_master_key_line("mailwarden.v1"))
    async with opened_master_keys(MasterKeySettings(master_key_file=file, **vault)) as keys:  # type: ignore[arg-type]
        with pytest.raises(UnfitMasterKeysError, match=r"both have mailwarden\.v1"):
            await keys.refresh()


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, "MASTER_KEY_FILE is missing"),
        ({"url": "http://vault.example:8200", "token_file": "/t"}, "must be https"),
        ({"url": "https://u:p@vault.example", "token_file": "/t"}, "must be https"),
        ({"url": "https://vault.example"}, "one of them"),
        ({"url": "https://vault.example", "token_file": "/t", "role": "r"}, "one of them"),
        ({"url": "https://vault.example", "token_file": "/t", "key": "a/b"}, "pattern"),
        ({"url": "https://vault.example", "token_file": "/t", "mount": "../sys"}, "pattern"),
        ({"url": "https://vault.example", "token_file": "/t", "timeout_s": "0"}, "greater"),
    ],
)
def test_settings_that_cannot_work_are_refused(named: dict[str, str], told: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match=told):
        MasterKeySettings(**{f"master_key_vault_{name}": value for name, value in named.items()})  # type: ignore[arg-type]
