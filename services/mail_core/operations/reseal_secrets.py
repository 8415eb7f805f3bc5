"""Seals what is under an old master key anew, while everything else goes on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.common.audit import SYSTEM_TEAM_ID, AuditEvent, audit_event
from services.common.errors import invalid
from services.common.sealing import SEALED_COLUMNS, TARGET_COLUMN, Sealer, SealError, is_under, plain_of
from services.common.telemetry import get_logger
from services.mail_core.operations.mailbox_access import is_uuid
from services.mail_core.secret_ports import Position, SealedValue, SealedValues

BATCH: Final = 100
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
    """Works in small batches that hold no lock: stopped anywhere, it is taken up from the beginning.

    A value is replaced only if it is still the one that was read, so that what is stored meanwhile stays;
    whoever stored it has sealed it under the current key. Targets that were kept in plain are sealed.
    """

    values: SealedValues
    sealer: Sealer
    record: Record

    async def __call__(self, page_token: str = "") -> Resealed:
        """Seal the next batch anew. Raises AppError PAGE_TOKEN_INVALID."""
        found = await self.values.page(_position(page_token), BATCH)
        current = self.sealer.keys.current_key_id
        counts = {"resealed": 0, "raced": 0, "unreadable": 0, "current": 0}
        for value in found:
            counts[await self._reseal(value, current)] += 1
        if counts["resealed"]:
            event = audit_event(
                "secrets.resealed", resource=f"master_key:{current}", team_id=SYSTEM_TEAM_ID,
                count=counts["resealed"],
            )  # fmt: skip
            await self.record([event])
        next_token = _token(found[-1].position) if len(found) == BATCH else ""
        return Resealed(len(found), counts["resealed"], counts["raced"], counts["unreadable"], next_token)

    async def retire(self, key_id: str) -> None:
        """Forget a key that nothing needs. Raises AppError MASTER_KEY_NOT_FOUND, MASTER_KEY_IN_USE."""
        await self.values.retire(key_id)
        event = audit_event("secrets.key_retired", resource=f"master_key:{key_id}", team_id=SYSTEM_TEAM_ID)
        await self.record([event])

    async def _reseal(self, value: SealedValue, current: str) -> str:
        try:
            if is_under(value.sealed, current):
                return "current"
            plaintext = plain_of(value.sealed) if value.column == TARGET_COLUMN else None
            if plaintext is None:
                plaintext = await self.sealer.open(value.sealed, value.place)
        except SealError:
            get_logger().error("sealed_value_unreadable", column=value.column, id=value.id)
            return "unreadable"
        sealed = await self.sealer.seal(plaintext, value.place, current)
        return "resealed" if await self.values.replace(value, sealed) else "raced"


def _token(position: Position) -> str:
    return f"{position.column}:{position.id}"


def _position(page_token: str) -> Position | None:
    if not page_token:
        return None
    column, _, row_id = page_token.partition(":")
    if column not in SEALED_COLUMNS or not is_uuid(row_id):
        raise invalid("PAGE_TOKEN_INVALID", "page_token is none of ours.", field="page_token")
    return Position(column, row_id)
