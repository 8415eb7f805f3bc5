"""Tenant secrets at rest: what was sealed for a team opens for that team, and nothing else opens."""

import asyncio
import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import AppError
from services.common.master_keys import (
    FileMasterKeys,
    MasterKeys,
    new_master_key_line,
    read_master_keys,
    write_master_keys_text,
)
from services.common.sealing import (
    KEY_BYTES,
    KeyMissingError,
    Place,
    Sealer,
    SealError,
    binds_row,
    key_id_of,
)

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(range(1, KEY_BYTES + 1))
SEALER = Sealer(MasterKeys({"k1": KEY}))
OLD_SEALER = Sealer(MasterKeys({"k1": KEY}, from_before=frozenset({"k1"})))
ROW, OTHER_ROW = "5d5f5c1e-0000-4000-8000-00000000000a", "5d5f5c1e-0000-4000-8000-00000000000b"
TEAM, OTHER_TEAM = "5d5f5c1e-0000-4000-8000-000000000001", "5d5f5c1e-0000-4000-8000-000000000002"
HERE = Place(TEAM, "mailboxes.grant_sealed", ROW)


def sealed_v1(key: bytes, key_id: str, plaintext: bytes) -> bytes:
    """What the first version wrote."""
    nonce = bytes(12)
    named = key_id.encode()
    return (
        b"\x01" + bytes([len(named)]) + named + nonce + AESGCM(key).encrypt(nonce, plaintext, TEAM.encode())
    )


def sealed(plaintext: bytes, place: Place = HERE, sealer: Sealer = SEALER) -> bytes:
    return asyncio.run(sealer.seal(plaintext, place))


def opened(sealer: Sealer, value: bytes, place: Place = HERE) -> bytes:
    return asyncio.run(sealer.open(value, place))


@given(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_is_sealed_opens_for_its_team(secret: bytes, team: str) -> None:
    """Any bytes, any team id."""
    place = Place(team, "a.b", ROW)
    assert opened(SEALER, sealed(secret, place), place) == secret


def test_sealing_twice_never_gives_the_same_bytes() -> None:
    """A nonce that came again would open both (NIST SP 800-38D §8)."""
    assert len({sealed(b"secret") for _ in range(200)}) == 200


def test_the_secret_is_not_in_what_is_stored() -> None:
    """Nor is it there in another spelling."""
    value = sealed(b"refresh-token-1")
    assert b"refresh" not in value
    assert b"refresh" not in base64.b64encode(value)


@pytest.mark.promise("secrets.sealed")
@pytest.mark.parametrize(
    "place",
    [
        Place(OTHER_TEAM, HERE.column, ROW),
        Place(TEAM, "mailboxes.other", ROW),
        Place(TEAM, HERE.column, OTHER_ROW),
        Place(TEAM, HERE.column, ""),
    ],
)
def test_no_other_team_column_or_row_can_open_it(place: Place) -> None:
    """A value that is copied to another tenant, or to another place of the same, stays shut."""
    with pytest.raises(SealError):
        opened(SEALER, sealed(b"secret"), place)


@pytest.mark.promise("secrets.sealed")
def test_a_key_from_before_writes_and_reads_what_older_releases_do() -> None:
    """Bound to team and column: an older replica beside us opens it, and we open what it writes."""
    value = sealed(b"secret", sealer=OLD_SEALER)
    assert (value[0], binds_row(value)) == (2, False)
    assert opened(OLD_SEALER, value, Place(TEAM, HERE.column, OTHER_ROW)) == b"secret"
    for place in (Place(OTHER_TEAM, HERE.column, ROW), Place(TEAM, "mailboxes.other", ROW)):
        with pytest.raises(SealError):
            opened(OLD_SEALER, value, place)
    assert OLD_SEALER.plain_of(b"\x00link") == b"link"


@pytest.mark.promise("secrets.sealed")
def test_a_key_that_binds_rows_takes_no_older_form() -> None:
    """Even where the bytes would decrypt, so that nobody brings one back; nor anything in plain."""
    for old in (sealed(b"secret", sealer=OLD_SEALER), sealed_v1(KEY, "k1", b"secret")):
        assert opened(OLD_SEALER, old) == b"secret"
        with pytest.raises(SealError, match="older form"):
            opened(SEALER, old)
    assert SEALER.plain_of(b"\x00link") is None
    relabelled = bytearray(sealed(b"secret", sealer=OLD_SEALER))
    relabelled[0] = 3
    with pytest.raises(SealError):
        opened(SEALER, bytes(relabelled))


@pytest.mark.promise("secrets.sealed")
@pytest.mark.parametrize(
    "keys", [{"k1": OTHER}, {"k2": KEY}, {}], ids=["another of the same name", "under another name", "none"]
)
@pytest.mark.parametrize(
    "value",
    [asyncio.run(each.seal(b"s", HERE)) for each in (SEALER, OLD_SEALER)] + [sealed_v1(KEY, "k1", b"s")],
    ids=["v3", "v2", "v1"],
)
def test_a_key_that_cannot_open_fails_closed(keys: dict[str, bytes], value: bytes) -> None:
    """An error, never some bytes."""
    for from_before in (frozenset[str](), frozenset(keys)):
        with pytest.raises(SealError):
            opened(Sealer(MasterKeys(keys, from_before)), value)


def test_a_missing_key_is_named() -> None:
    """So that an operator knows which one to look for."""
    with pytest.raises(KeyMissingError) as caught:
        opened(Sealer(MasterKeys({"k2": KEY})), sealed(b"secret"))
    assert caught.value.key_id == "k1"


@pytest.mark.promise("secrets.sealed")
def test_every_flipped_bit_is_noticed() -> None:
    """Version, key id, lengths, wrapped key, nonce, ciphertext and tag."""
    value = sealed(b"secret")
    for place in range(len(value) * 8):
        changed = bytearray(value)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealError):
            opened(SEALER, bytes(changed))


def test_every_truncation_is_noticed() -> None:
    """Down to nothing at all."""
    cases = [(SEALER, sealed(b"secret"))]
    cases += [(OLD_SEALER, old) for old in (sealed(b"s", sealer=OLD_SEALER), sealed_v1(KEY, "k1", b"s"))]
    for sealer, value in cases:
        for length in range(len(value)):
            with pytest.raises(SealError):
                opened(sealer, value[:length])


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda end: b"\x02\x02k1\x00\x3c" + end))
def test_arbitrary_bytes_never_open_and_never_break_the_reader(value: bytes) -> None:
    """One kind of error, whatever the column holds."""
    for sealer, form in ((OLD_SEALER, value[:1]), (SEALER, b"\x03")):
        with pytest.raises(SealError):
            opened(sealer, form + value[1:])


def test_what_the_first_version_sealed_still_opens() -> None:
    """Directly under the master key, bound to the team alone; it counts as not current."""
    value = sealed_v1(KEY, "k1", b"secret")
    assert opened(OLD_SEALER, value) == b"secret"
    assert (key_id_of(value), value.startswith(OLD_SEALER.current_head("k1"))) == ("k1", False)
    assert sealed(b"s", sealer=OLD_SEALER).startswith(OLD_SEALER.current_head("k1"))
    assert sealed(b"s").startswith(SEALER.current_head("k1"))


class KeyService:
    """A key management service: it wraps and unwraps, and nobody sees its keys."""

    current_key_id = "arn.key-1"
    key_ids = ("arn.key-1", "arn.key-0")

    def binds_rows(self, key_id: str) -> bool:
        del key_id
        return True

    def __init__(self) -> None:
        self._keys = {"arn.key-1": AESGCM(KEY), "arn.key-0": AESGCM(OTHER)}
        self.calls: list[tuple[str, bytes]] = []

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        self.calls.append(("wrap", context))
        return b"service:" + self._keys[key_id].encrypt(bytes(12), data_key, context)

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        self.calls.append(("unwrap", context))
        try:
            return self._keys[key_id].decrypt(bytes(12), wrapped.removeprefix(b"service:"), context)
        except (KeyError, InvalidTag):
            raise SealError("the service refuses") from None

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        del key_id, nonce, ciphertext, associated
        raise SealError("a service has sealed nothing directly")


@pytest.mark.promise("secrets.sealed")
def test_a_key_service_takes_the_place_of_the_file() -> None:
    """One call for each value, with its place as context, which binds it at the service as well."""
    service = KeyService()
    sealer = Sealer(service)
    value = sealed(b"secret", sealer=sealer)
    assert opened(sealer, value) == b"secret"
    context = f"mailboxes.grant_sealed:{TEAM}:{ROW}".encode()
    assert service.calls == [("wrap", context), ("unwrap", context)]
    assert key_id_of(value) == "arn.key-1"
    renamed = [value.replace(b"key-1", name) for name in (b"key-0", b"key-9")]
    for foreign in (*renamed, sealed_v1(KEY, "k1", b"s")):
        with pytest.raises(SealError):
            opened(sealer, foreign)
    with pytest.raises(SealError):
        opened(sealer, value, Place(OTHER_TEAM, HERE.column, ROW))


def test_rotation_opens_the_old_and_seals_with_the_new(tmp_path: Path) -> None:
    """A new first line is the current key; the lines below still open."""
    file = tmp_path / "keys"
    old_line, new_line = new_master_key_line("old"), new_master_key_line("new")
    file.write_text(f"{old_line}\n")
    value = sealed(b"secret", sealer=Sealer(read_master_keys(file)))
    file.write_text(f"{new_line}\n{old_line}\n")
    rotated = read_master_keys(file)
    assert opened(Sealer(rotated), value) == b"secret"
    assert key_id_of(sealed(b"secret", sealer=Sealer(rotated))) == "new"
    assert write_master_keys_text(rotated) == file.read_text()
    file.write_text(f"{new_line}\n")
    with pytest.raises(SealError):
        opened(Sealer(read_master_keys(file)), value)


def test_a_running_process_sees_a_new_key_at_once_and_seals_only_under_the_agreed_one(tmp_path: Path) -> None:
    """Needed to open, it is looked for in the file; nothing is sealed under a key that nobody settled."""
    file = tmp_path / "keys"
    old_line, new_line = new_master_key_line("old"), new_master_key_line("new")
    file.write_text(f"{old_line}\n")
    keys = FileMasterKeys(file)
    with pytest.raises(AppError, match="settled"):
        sealed(b"secret", sealer=Sealer(keys))
    keys.seal_under("old")
    file.write_text(f"{new_line}\n{old_line}\n")
    value = sealed(b"secret", sealer=Sealer(read_master_keys(file)))
    assert opened(Sealer(keys), value) == b"secret"
    assert key_id_of(sealed(b"secret", sealer=Sealer(keys))) == "old"
    file.write_text("half a li")
    keys._watched.refresh()
    assert opened(Sealer(keys), value) == b"secret"


def test_a_line_without_its_mark_is_a_key_from_before_and_stays_one(tmp_path: Path) -> None:
    """A rotation puts a marked line in front and leaves the others as they are."""
    file = tmp_path / "keys"
    old_line, new_line = new_master_key_line("old").removesuffix(":v3"), new_master_key_line("new")
    file.write_text(f"{new_line}\n{old_line}\n")
    keys = read_master_keys(file)
    assert [keys.binds_rows(key_id) for key_id in keys.key_ids] == [True, False]
    assert write_master_keys_text(keys) == file.read_text()
    assert write_master_keys_text(keys.without("new")) == f"{old_line}\n"
    assert write_master_keys_text(keys.without("old")) == f"{new_line}\n"


GOOD = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        f":{GOOD}",
        f"k1:{GOOD[:-4]}",  # too short
        f"k1:{GOOD}AAAA",  # too long
        f"k1:{GOOD[:-2]}!=",  # not base64
        f"{'k' * 65}:{GOOD}",
        f"schlüssel:{GOOD}",
        f"k1:{GOOD}\nk1:{GOOD}:v3",  # which of the two?
        f"k1:{GOOD}:v2",  # no such mark
        f"k1:{GOOD}:v3:v3",
        f"k1:{GOOD[:-2]}é=",
        f"k1:{GOOD}\udcf5",  # a byte that is no UTF-8
    ],
)
def test_an_unusable_key_file_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    """The message names the file and the line, and holds no key material."""
    file = tmp_path / "keys"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=str(file)) as caught:
        read_master_keys(file)
    assert GOOD[:12] not in str(caught.value)


@pytest.mark.promise("secrets.shown")
def test_no_repr_shows_a_key() -> None:
    """Nor does an error: both end up in logs."""
    shown = repr(SEALER) + str(SEALER.keys)
    assert repr(KEY)[2:20] not in shown
    with pytest.raises(SealError) as caught:
        opened(SEALER, sealed(b"planted")[:-1])
    assert "planted" not in repr(caught.value)
    assert caught.value.__suppress_context__
