"""Which key counts as agreed on before values are sealed anew."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from protos.mail.v1 import mail_pb2
from services.cli.admin import Operator
from services.cli.failure import Failure
from services.cli.master_key_rotation import MasterKeyRotation


@dataclass
class Core:
    """A mail core whose replicas say something else each time they are asked; the last for good."""

    said: list[list[mail_pb2.MasterKeyHolder]]
    resealed: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def mail_admin(self) -> AsyncIterator[Any]:
        yield self

    async def GetMasterKeys(self, request: object) -> mail_pb2.GetMasterKeysResponse:  # noqa: N802
        del request
        holders = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        self.resealed = [holder.seals_under for holder in holders]
        return mail_pb2.GetMasterKeysResponse(holders=holders)

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
