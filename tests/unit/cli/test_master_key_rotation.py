"""Which key counts as agreed on before values are sealed anew."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from protos.mail.v1 import mail_pb2
from services.cli.admin import Operator
from services.cli.failure import Failure
from services.cli.master_key_rotation import MasterKeyRotation
from services.common.master_keys import new_master_key_line


@dataclass
class Core:
    """A mail core whose replicas say something else each time they are asked; the last for good."""

    said: list[list[mail_pb2.MasterKeyHolder]]
    known: list[str] = field(default_factory=list)
    resealed: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def mail_admin(self) -> AsyncIterator[Any]:
        yield self

    async def GetMasterKeys(self, request: object) -> mail_pb2.GetMasterKeysResponse:  # noqa: N802
        del request
        holders = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        self.resealed = [holder.seals_under for holder in holders]
        keys = [mail_pb2.MasterKey(key_id=key_id) for key_id in self.known]
        return mail_pb2.GetMasterKeysResponse(holders=holders, keys=keys)

    async def RetireMasterKey(self, request: Any) -> mail_pb2.RetireMasterKeyResponse:  # noqa: N802
        self.retired.append(request.key_id)
        return mail_pb2.RetireMasterKeyResponse()

    async def ResealSecrets(self, request: object) -> mail_pb2.ResealSecretsResponse:  # noqa: N802
        del request
        return mail_pb2.ResealSecretsResponse(examined_count=len(set(self.resealed)))


def replica(seals_under: str, *key_ids: str) -> mail_pb2.MasterKeyHolder:
    return mail_pb2.MasterKeyHolder(replica="r", key_ids=key_ids, seals_under=seals_under)


async def finished(*said: list[mail_pb2.MasterKeyHolder], wait_s: float = 5) -> str:
    told: list[str] = []
    await MasterKeyRotation(cast("Operator", Core(list(said))), told.append).finish(wait_s)
    return told[0]


async def test_resealing_waits_for_the_newest_key_of_the_file() -> None:
    """Until one that was killed in a rotation is forgotten, those that live seal under the old key."""
    gone = replica("k1", "k1")
    told = await finished([gone, replica("k1", "k2", "k1")], [replica("k2", "k2", "k1")])
    assert told == "every replica seals under k2"


async def test_a_replica_without_the_newest_key_keeps_resealing_from_beginning() -> None:
    """Sealing under the old key would end in success, and the old key would be needed as before."""
    with pytest.raises(Failure, match="not all of 2 replicas"):
        await finished([replica("k1", "k1"), replica("k1", "k2", "k1")], wait_s=0)


async def test_a_key_of_a_service_is_rotated_there(tmp_path: Path) -> None:
    """A new line in a file that no replica prefers would seal nothing; the file stays as it is."""
    file = tmp_path / "keys"
    file.write_text(new_master_key_line("k1"))
    core = Core([[replica("mailwarden.v1", "mailwarden.v1", "k1")]])
    before = file.read_text()
    with pytest.raises(Failure, match="rotate it in the key service"):
        await MasterKeyRotation(cast("Operator", core), print).new_key(file, datetime.now(UTC), 0)
    assert file.read_text() == before


@pytest.mark.parametrize("has_file", [False, True])
async def test_the_last_key_of_a_file_can_go_when_a_service_seals(tmp_path: Path, *, has_file: bool) -> None:
    """The database forgets it; an empty file would be none, so its setting is to go."""
    file = tmp_path / "keys"
    if has_file:
        file.write_text(new_master_key_line("k1"))
    core = Core([[replica("mailwarden.v1", "mailwarden.v1", "k1")]], ["k1", "mailwarden.v1"])
    told: list[str] = []
    rotation = MasterKeyRotation(cast("Operator", core), told.append)
    with pytest.raises(Failure, match="newest"):
        await rotation.retire(file, "mailwarden.v1")
    await rotation.retire(file, "k1")
    assert core.retired == ["k1"]
    assert ["MASTER_KEY_FILE" in each for each in told] == ([True] if has_file else [])
