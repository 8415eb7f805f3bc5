"""Master keys and the replicas that hold them: no replica seals with a key that another one lacks (ADR 0015).

Each replica says every few seconds which keys its file holds, and seals under the first of its file that
all live replicas hold. A new key in the file is thereby announced before it is used, whoever wrote it.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.database import Database
from services.common.errors import AppError, not_found, precondition
from services.common.sealing import (
    GRANT_COLUMN,
    TARGET_COLUMN,
    AgreedKeys,
    Place,
    Sealer,
    SealError,
    UnfitMasterKeysError,
    binds_row,
    key_id_of,
)
from services.common.telemetry import get_logger
from services.mail_core.adapters.tables import (
    mailboxes,
    master_key_holders,
    master_keys,
    subscriptions,
)
from services.mail_core.secret_ports import KeyHolder, KeyUse, KeyUses, Position, SealedValue

UPKEEP: Final = {"mailwarden.key_upkeep": "on"}
LIVE: Final = timedelta(seconds=15)
"""A replica that was not heard of for so long is gone."""
SETTLE: Final = timedelta(seconds=30)
"""What was sealed under a key is written down within so long: a call of the contract lasts 20 s at most."""
_SAY_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.5
_UNSEALED: Final = ""
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(726103)")
_CANARY: Final = b"mailwarden canary 1"
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_COLUMNS: Final = {
    GRANT_COLUMN: mailboxes.c.grant_sealed,
    TARGET_COLUMN: subscriptions.c.target_sealed,
}


class KeyAgreement:
    """One replica's part in agreeing on the key that seals."""

    def __init__(self, database: Database, keys: AgreedKeys) -> None:
        self._database = database
        self._keys = keys
        self._sealer = Sealer(keys)
        self._replica = str(uuid.uuid4())
        self._said: tuple[str, ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether it was ever agreed on a key."""
        return bool(self._said)

    async def agree(self) -> str:
        """Say what we hold, check that it fits the database, and choose; gives the key that seals.

        Raises UnfitMasterKeysError, AppError UNAVAILABLE DATABASE_DOWN, KEY_SERVICE_DOWN.
        """
        is_known = await self._look()
        held = self._keys.key_ids
        if is_known:
            async with self._database.transaction(UPKEEP) as connection:
                canaries = await _canaries(connection)
            await self._verify({key_id: canaries[key_id] for key_id in held if key_id in canaries})
        async with self._database.transaction(UPKEEP) as connection:
            # Alone: nobody joins between our choice and its record.
            await connection.execute(_LOCK)
            await self._check(connection, held, has_changed=held != self._said)
            others = await self._others(connection)
            chosen = next((key_id for key_id in held if all(key_id in ids for ids in others)), None)
            if chosen is None:
                raise UnfitMasterKeysError(
                    f"the running replicas hold none of the master keys {', '.join(held)}: keep a key that"
                    f" they hold in MASTER_KEY_FILE, below the new one"
                )
            await self._record(connection, held, chosen)
        self._keys.seal_under(chosen)
        self._said = held
        return chosen

    async def keep_agreeing(self) -> None:
        """Say it again every few seconds, and at once when the file changed, until cancelled."""
        waited_s, sealing = 0.0, ""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
            if waited_s < _SAY_EVERY_S and self._keys.key_ids == self._said:
                continue
            waited_s = 0.0
            try:
                if (now := await self.agree()) != sealing:
                    get_logger().info("master_key_chosen", key_id=now)
                    sealing = now
            except UnfitMasterKeysError as error:
                get_logger().error("master_keys_unfit", problem=str(error))
            except AppError as error:
                get_logger().warning("master_keys_not_told", reason=error.reason)
            except Exception:  # noqa: BLE001  the next round may do better
                get_logger().exception("unexpected", action="master_keys")

    async def leave(self) -> None:
        """Say that we are gone, so that nobody waits for us."""
        async with self._database.transaction(UPKEEP) as connection:
            mine = master_key_holders.c.replica == self._replica
            await connection.execute(sa.delete(master_key_holders).where(mine))

    async def _look(self) -> bool:
        """Look which keys there are; False when a service does not say, after it has said so once.

        We are still there then, with the keys that we had: others must not take us for dead.
        """
        try:
            await self._keys.refresh()
        except AppError as error:
            if not self._said:
                raise
            get_logger().warning("master_keys_not_looked_at", reason=error.reason)
            return False
        return True

    async def _verify(self, canaries: Mapping[str, bytes]) -> None:
        """See that our keys are the right ones. A service is asked for all at once, while no lock is held."""
        opened = await asyncio.gather(*(self._opens(key_id, canary) for key_id, canary in canaries.items()))
        if wrong := [key_id for key_id, is_right in zip(canaries, opened, strict=True) if not is_right]:
            raise UnfitMasterKeysError(
                f"MASTER_KEY_FILE holds another key under the id {wrong[0]} than the one that the database"
                " was sealed with, or marks one from before with :v3: put the right line back"
            )

    async def _opens(self, key_id: str, canary: bytes) -> bool:
        try:
            await self._sealer.open(canary, _canary_place(key_id))
        except SealError:
            return False
        return True

    async def _check(self, connection: AsyncConnection, held: Sequence[str], *, has_changed: bool) -> None:
        needed = set(await _canaries(connection))
        if has_changed:
            # Whatever is sealed later is sealed under a key that has a canary.
            needed |= await _needed(connection)
        if missing := sorted(needed - set(held)):
            raise UnfitMasterKeysError(
                f"MASTER_KEY_FILE lacks {', '.join(missing)}, which the database needs: put the key back"
            )

    async def _others(self, connection: AsyncConnection) -> list[list[str]]:
        await connection.execute(sa.delete(master_key_holders).where(~_is_live()))
        query = sa.select(master_key_holders.c.key_ids).where(master_key_holders.c.replica != self._replica)
        return [list(ids) for ids in (await connection.execute(query)).scalars()]

    async def _record(self, connection: AsyncConnection, held: Sequence[str], chosen: str) -> None:
        said = {"key_ids": list(held), "seals_under": chosen, "seen_at": sa.func.now()}
        await connection.execute(
            insert(master_key_holders)
            .values(replica=self._replica, **said)
            .on_conflict_do_update(index_elements=["replica"], set_=said)
        )
        mine = master_keys.c.key_id == chosen
        current = sa.update(master_keys).where(mine).values(last_current_at=sa.func.now())
        if not (await connection.execute(current)).rowcount:
            canary = await self._sealer.seal(_CANARY, _canary_place(chosen), chosen)
            fresh = {"key_id": chosen, "canary": canary, "last_current_at": sa.func.now()}
            await connection.execute(sa.insert(master_keys).values(fresh))


@dataclass(frozen=True, slots=True)
class PostgresSealedValues:
    """Implements `secret_ports.SealedValues`: the columns of `sealing.SEALED_COLUMNS`."""

    database: Database

    async def others(self, head: bytes, after: Position | None, limit: int) -> list[SealedValue]:
        """List values of all teams that begin otherwise, column by column, by head and id."""
        names = list(_COLUMNS)
        found: list[SealedValue] = []
        async with self.database.transaction(UPKEEP) as connection:
            for name in names[names.index(after.column) if after else 0 :]:
                behind = after if after and after.column == name else None
                for query in _around(_COLUMNS[name], head, behind):
                    rows = await connection.execute(query.limit(limit - len(found)))
                    found += [_value(name, row) for row in rows]
        return found

    async def replace(self, value: SealedValue, sealed: bytes) -> bool:
        """Put another sealed form in the place of a value, unless somebody else has written meanwhile."""
        kept = _COLUMNS[value.column]
        mine = (kept.table.c.id == value.id) & (kept == value.sealed)
        statement = sa.update(kept.table).where(mine).values({kept: sealed})
        async with self.database.team(value.team_id) as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def uses(self) -> KeyUses:
        """Count values by the master key that they are sealed under; keys without values too."""
        async with self.database.transaction(UPKEEP) as connection:
            known = (await connection.execute(sa.select(master_keys.c.key_id))).scalars()
            counts, older = Counter(dict.fromkeys(known, 0)), Counter[str]()
            for head, count in await _counts(connection):
                key_id = _key_id(head)
                counts[key_id] += count
                older[key_id] += 0 if binds_row(head) else count
        unsealed = counts.pop(_UNSEALED, 0)
        return KeyUses(tuple(KeyUse(each, counts[each], older[each]) for each in sorted(counts)), unsealed)

    async def holders(self) -> list[KeyHolder]:
        """List the live replicas."""
        async with self.database.transaction(UPKEEP) as connection:
            rows = await connection.execute(sa.select(master_key_holders).where(_is_live()))
            return [KeyHolder(row.replica, tuple(row.key_ids), row.seals_under) for row in rows]

    async def retire(self, key_id: str) -> None:
        """Forget a key. Raises NOT_FOUND MASTER_KEY_NOT_FOUND, FAILED_PRECONDITION MASTER_KEY_IN_USE."""
        key = master_keys.c.key_id == key_id
        settled = sa.func.now() - master_keys.c.last_current_at > SETTLE
        async with self.database.transaction(UPKEEP) as connection:
            await connection.execute(_LOCK)
            is_settled = (await connection.execute(sa.select(settled).where(key))).scalar_one_or_none()
            if is_settled is None:
                raise not_found("MASTER_KEY_NOT_FOUND", "The database knows no master key of this id.")
            counts = await _counts(connection)
            if count := sum(count for head, count in counts if _key_id(head) in (key_id, _UNSEALED)):
                message = (
                    f"{count} values are sealed under this master key or not at all: re-encrypt them first."
                )
                raise precondition("MASTER_KEY_IN_USE", message)
            if not is_settled:
                message = f"This master key sealed within the last {SETTLE.seconds} s: try again then."
                raise precondition("MASTER_KEY_IN_USE", message)
            await connection.execute(sa.delete(master_keys).where(key))


def _around(kept: sa.Column[bytes], head: bytes, after: Position | None) -> list[sa.Select]:
    """Ask for what begins with less than `head`, and with more: each is one stretch of the index."""
    table = kept.table
    begins = table.c.sealed_head
    query = sa.select(table.c.id, table.c.team_id, begins.label("head"), kept.label("sealed"))
    query = query.order_by(begins, table.c.id)
    below, above = query.where(begins < head), query.where(begins > head)
    if after is None:
        return [below, above]
    behind = sa.tuple_(begins, table.c.id) > sa.tuple_(after.head, sa.cast(after.id, sa.Uuid))
    return [below.where(behind), above] if after.head < head else [above.where(behind)]


async def _canaries(connection: AsyncConnection) -> dict[str, bytes]:
    return {row.key_id: bytes(row.canary) for row in await connection.execute(sa.select(master_keys))}


def _value(column: str, row: sa.Row) -> SealedValue:
    return SealedValue(column, row.id, row.team_id, bytes(row.head), bytes(row.sealed))


async def _counts(connection: AsyncConnection) -> list[tuple[bytes, int]]:
    """Count all values by how they begin, in the indexes alone."""
    found = []
    for kept in _COLUMNS.values():
        head = kept.table.c.sealed_head
        query = sa.select(head, sa.func.count()).where(head.is_not(None)).group_by(head)
        found += [(bytes(row[0]), row[1]) for row in await connection.execute(query)]
    return found


async def _needed(connection: AsyncConnection) -> set[str]:
    """Name the keys that values are sealed under: a step in an index for each, however many values."""
    found: set[str] = set()
    for kept in _COLUMNS.values():
        head = kept.table.c.sealed_head
        least = sa.select(head).where(head.is_not(None)).order_by(head).limit(1)
        heads = sa.select(least.subquery().c.sealed_head.label("head")).cte("heads", recursive=True)
        above = sa.select(head).where(head > heads.c.head).order_by(head).limit(1).scalar_subquery()
        heads = heads.union_all(sa.select(above).where(heads.c.head.is_not(None)))
        rows = (await connection.execute(sa.select(heads.c.head).where(heads.c.head.is_not(None)))).scalars()
        found |= {_key_id(bytes(row)) for row in rows}
    return found - {_UNSEALED}


def _key_id(head: bytes) -> str:
    try:
        return key_id_of(head)
    except SealError:
        return _UNSEALED


def _canary_place(key_id: str) -> Place:
    return Place(_NOBODY, "master_keys.canary", key_id)


def _is_live() -> sa.ColumnElement[bool]:
    return master_key_holders.c.seen_at > sa.func.now() - LIVE
