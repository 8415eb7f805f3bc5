"""Master keys of a running system: a new one, re-encryption, and the end of an old one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from protos.mail.v1 import mail_pb2
from services.cli.admin import Operator
from services.cli.failure import Failure
from services.cli.secret_files import alone_with, read_secret, replace_secret
from services.common.master_keys import (
    MasterKeys,
    new_master_key_line,
    read_master_keys,
    write_master_keys_text,
)

_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Counts:
    """What re-encryption did."""

    examined: int = 0
    resealed: int = 0
    raced: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class MasterKeyRotation:
    """Rotates the master keys of one system. `say` tells the person what happens."""

    operator: Operator
    say: Callable[[str], None]

    async def new_key(self, file: Path, now: datetime, wait_s: float) -> Counts:
        """Put a new key in front, wait until every replica seals under it, re-encrypt. Raises Failure."""
        # Before anything is written: is the system there?
        preferred = {holder.key_ids[0] for holder in (await self.status(holders_only=True)).holders}
        with alone_with(file):
            keys = _keys_in(file)
            if preferred and preferred.isdisjoint(keys.keys):
                raise Failure(
                    f"the master key {min(preferred)} is not of {file}: rotate it in the key service that has"
                    " it, then run `mailwarden secrets reseal`"
                )
            key_id = now.strftime("k%Y%m%d%H%M%S")
            if key_id in keys.keys:
                raise Failure("a key was made this very second; try again")
            replace_secret(file, new_master_key_line(key_id) + "\n" + write_master_keys_text(keys))
        self.say(f"new master key {key_id} is in {file}")
        return await self.finish(wait_s, key_id)

    async def finish(self, wait_s: float, key_id: str = "") -> Counts:
        """Wait until all replicas seal under one key, and re-encrypt.

        That is the newest key of their files, or the one that is named: what seals while a replica is
        gone and not yet forgotten can be an older one.
        """
        self.say(f"every replica seals under {await self._agreed(wait_s, key_id)}")
        counts, token = Counts(), ""
        async with self.operator.mail_admin() as mail:
            while True:
                done = await mail.ResealSecrets(mail_pb2.ResealSecretsRequest(page_token=token))
                counts = Counts(
                    counts.examined + done.examined_count,
                    counts.resealed + done.resealed_count,
                    counts.raced + done.raced_count,
                    counts.unreadable + done.unreadable_count,
                )
                if not (token := done.next_page_token):
                    return counts

    async def status(self, *, holders_only: bool = False) -> mail_pb2.GetMasterKeysResponse:
        """Ask which keys there are, what needs them, and who holds them."""
        async with self.operator.mail_admin() as mail:
            return await mail.GetMasterKeys(mail_pb2.GetMasterKeysRequest(holders_only=holders_only))

    async def unneeded(self) -> list[str]:
        """List the keys that nothing is sealed under and nobody seals with."""
        status = await self.status()
        sealing = {holder.seals_under for holder in status.holders}
        return [key.key_id for key in status.keys if not key.value_count and key.key_id not in sealing]

    async def retire(self, file: Path, key_id: str) -> None:
        """Take an old key out of the database's list, and of the file if it is there.

        Raises Failure while it is needed.
        """
        if not file.exists():  # noqa: ASYNC240  a command of one person
            await self._forget(MasterKeys({}), key_id)  # a key service has them all
            return
        with alone_with(file):
            keys = _keys_in(file)
            await self._forget(keys, key_id)
            left = keys.without(key_id)
            if left.keys:
                replace_secret(file, write_master_keys_text(left))
            else:
                self.say(
                    f"{file} holds no other key: take MASTER_KEY_FILE out of the settings, then remove it"
                )

    async def _forget(self, keys: MasterKeys, key_id: str) -> None:
        status = await self.status()
        self._check_unneeded(status, keys, key_id)
        if any(key.key_id == key_id for key in status.keys):
            async with self.operator.mail_admin() as mail:
                await mail.RetireMasterKey(mail_pb2.RetireMasterKeyRequest(key_id=key_id))

    def _check_unneeded(self, status: mail_pb2.GetMasterKeysResponse, keys: MasterKeys, key_id: str) -> None:
        counts = {key.key_id: key.value_count for key in status.keys}
        if key_id not in {*keys.keys, *counts}:
            raise Failure(f"there is no master key {key_id}")
        if any(key_id in holder.key_ids[:1] for holder in status.holders):
            raise Failure(f"{key_id} is the newest master key; rotate first")
        if any(holder.seals_under == key_id for holder in status.holders):
            raise Failure(f"{key_id} still seals: a replica has not got a newer key yet")
        if counts.get(key_id):
            raise Failure(f"{counts[key_id]} values need {key_id}; run `mailwarden secrets reseal` first")

    async def _agreed(self, wait_s: float, key_id: str) -> str:
        end = asyncio.get_running_loop().time() + wait_s
        while True:
            status = await self.status(holders_only=True)
            sealing = {holder.seals_under for holder in status.holders}
            wanted = {key_id} if key_id else {holder.key_ids[0] for holder in status.holders}
            if len(sealing) == 1 and sealing == wanted:
                return sealing.pop()
            if asyncio.get_running_loop().time() > end:
                raise Failure(_disagreement(status, key_id))
            await asyncio.sleep(_POLL_S)


def _disagreement(status: Any, key_id: str) -> str:
    lacking = [holder.replica[:8] for holder in status.holders if key_id not in holder.key_ids]
    who = f"; replicas without {key_id}: {', '.join(lacking)}" if key_id and lacking else ""
    return (
        f"not all of {len(status.holders)} replicas seal under one key yet{who}. Nothing is lost: give every"
        " replica the new key file, then run `mailwarden secrets reseal`"
    )


def _keys_in(file: Path) -> MasterKeys:
    read_secret(file)
    try:
        return read_master_keys(file)
    except ValueError as error:
        raise Failure(str(error)) from None
