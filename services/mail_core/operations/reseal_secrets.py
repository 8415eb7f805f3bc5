"""Seals what is under an old master key, or of an older form, anew, while everything else goes on."""

import asyncio
import binascii
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.common.audit import SYSTEM_TEAM_ID, AuditEvent, audit_event
from services.common.errors import invalid
from services.common.sealing import SEALED_COLUMNS, TARGET_COLUMN, Sealer, SealError
from services.common.telemetry import get_logger
from services.mail_core.operations.mailbox_access import is_uuid
from services.mail_core.secret_ports import Position, SealedValue, SealedValues

BATCH: Final = 100
_RESEALED, _RACED, _UNREADABLE = "resealed", "raced", "unreadable"
Record = Callable[[Sequence[AuditEvent]], Awaitable[None]]
"""Writes audit events."""


@dataclass(frozen=True, slots=True)
class Resealed:
    """What one batch did. `raced` were written by somebody else meanwhile, `unreadable` do not open.

    `next_page_token` is empty after the last batch.
    """

    examined: int
    resealed: int
    raced: int
    unreadable: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ResealSecrets:
    """Works in small batches that hold no lock. Only what is left is looked at: stopped anywhere, it goes on.

    A value is replaced only if it is still the one that was read, so that what is stored meanwhile stays;
    whoever stored it has sealed it under the current key. Targets that were kept in plain are sealed.
    """

    values: SealedValues
    sealer: Sealer
    record: Record

    async def __call__(self, page_token: str = "") -> Resealed:
        """Seal the next batch anew. Raises AppError PAGE_TOKEN_INVALID."""
        current = self.sealer.keys.current_key_id
        head = self.sealer.current_head(current)
        found = await self.values.others(head, _position(page_token), BATCH)
        done = await self._reseal(found, current)
        if done[_RESEALED]:
            event = audit_event(
                "secrets.resealed", resource=f"master_key:{current}", team_id=SYSTEM_TEAM_ID,
                count=done[_RESEALED],
            )  # fmt: skip
            await self.record([event])
        next_token = _token(found[-1].position) if len(found) == BATCH else ""
        return Resealed(len(found), done[_RESEALED], done[_RACED], done[_UNREADABLE], next_token)

    async def retire(self, key_id: str) -> None:
        """Forget a key that nothing needs. Raises AppError MASTER_KEY_NOT_FOUND, MASTER_KEY_IN_USE."""
        await self.values.retire(key_id)
        event = audit_event("secrets.key_retired", resource=f"master_key:{key_id}", team_id=SYSTEM_TEAM_ID)
        await self.record([event])

    async def _reseal(self, found: Sequence[SealedValue], current: str) -> Counter[str]:
        """Open all at once and seal all at once, for a key service answers many as fast as one."""
        plaintexts = await asyncio.gather(*(self._opened(value) for value in found))
        opened = [pair for pair in zip(found, plaintexts, strict=True) if pair[1] is not None]
        sealing = (self.sealer.seal(plaintext or b"", value.place, current) for value, plaintext in opened)
        done = Counter({_UNREADABLE: len(found) - len(opened)})
        for (value, _), sealed in zip(opened, await asyncio.gather(*sealing), strict=True):
            done[_RESEALED if await self.values.replace(value, sealed) else _RACED] += 1
        return done

    async def _opened(self, value: SealedValue) -> bytes | None:
        plaintext = self.sealer.plain_of(value.sealed) if value.column == TARGET_COLUMN else None
        if plaintext is not None:
            return plaintext
        try:
            return await self.sealer.open(value.sealed, value.place)
        except SealError:
            get_logger().error("sealed_value_unreadable", column=value.column, id=value.id)
            return None


def _token(position: Position) -> str:
    return f"{position.column}:{position.head.hex()}:{position.id}"


def _position(page_token: str) -> Position | None:
    if not page_token:
        return None
    column, _, behind = page_token.partition(":")
    head, _, row_id = behind.partition(":")
    try:
        position = Position(column, binascii.unhexlify(head), row_id)
    except ValueError:
        position = None
    if position is None or column not in SEALED_COLUMNS or not is_uuid(row_id):
        raise invalid("PAGE_TOKEN_INVALID", "page_token is none of ours.", field="page_token")
    return position
