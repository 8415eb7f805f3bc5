"""Everything that is sealed, whosever it is, as those who look after the master keys see it."""

from dataclasses import dataclass, field
from typing import Protocol

from services.common.sealing import Place
from services.mail_core.domain.ids import TeamId


@dataclass(frozen=True, slots=True)
class Position:
    """A value in the order in which all are walked: column by column, by how it begins, by its row's id."""

    column: str
    head: bytes
    id: str


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One sealed value, its `table.column`, the row that holds it, and how it begins: form and key id."""

    column: str
    id: str
    team_id: TeamId
    head: bytes
    sealed: bytes = field(repr=False)

    @property
    def place(self) -> Place:
        """What it belongs to."""
        return Place(self.team_id, self.column, self.id)

    @property
    def position(self) -> Position:
        """Where it stands among all."""
        return Position(self.column, self.head, self.id)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many values are sealed under a master key, and how many of them are bound to no row."""

    key_id: str
    count: int
    older: int = 0


@dataclass(frozen=True, slots=True)
class KeyUses:
    """The uses of every key, and how many values are not sealed at all."""

    keys: tuple[KeyUse, ...]
    unsealed: int


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A live replica, the master keys of its file, and the one that it seals under."""

    replica: str
    key_ids: tuple[str, ...]
    seals_under: str


class SealedValues(Protocol):
    """Everything that is sealed, whosever it is."""

    async def others(self, head: bytes, after: Position | None, limit: int) -> list[SealedValue]:
        """List values that do not begin so, of all columns, beginning behind `after`, or at the first.

        What begins so is not read: it costs as much as there is left.
        """
        ...

    async def replace(self, value: SealedValue, sealed: bytes) -> bool:
        """Put another sealed form in a value's place; False when it is no longer what was read."""
        ...

    async def uses(self) -> KeyUses:
        """Count values by master key."""
        ...

    async def holders(self) -> list[KeyHolder]:
        """List the live replicas."""
        ...

    async def retire(self, key_id: str) -> None:
        """Forget a key. Raises AppError MASTER_KEY_NOT_FOUND, MASTER_KEY_IN_USE."""
        ...
