"""The change log of a mailbox, read by `history.list`."""

from dataclasses import dataclass, field

from services.sandbox.errors import not_found

FIRST_ID = 1_804_200
KINDS = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One record: what happened to which message, and its labels after it."""

    id: int
    kind: str
    message_id: str
    thread_id: str
    labels_after: tuple[str, ...]
    changed_labels: tuple[str, ...] = ()


@dataclass(slots=True)
class History:
    """All records since `floor`; an older cursor is Google's 404."""

    current: int = FIRST_ID
    floor: int = FIRST_ID
    changes: list[Change] = field(default_factory=list)

    def next_id(self) -> int:
        self.current += 1
        return self.current

    def record(self, change: Change) -> None:
        self.changes.append(change)

    def since(self, start: int) -> list[Change]:
        """Records after `start`, oldest first.

        Raises:
            ApiError: 404, the cursor is older than what is kept, or from the future.

        """
        if not self.floor <= start <= self.current:
            raise not_found()
        return [change for change in self.changes if change.id > start]

    def forget(self) -> None:
        """Make every cursor handed out so far too old."""
        self.changes.clear()
        self.floor = self.next_id()
