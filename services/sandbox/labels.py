"""The labels of one mailbox: Gmail's own and the user's."""

from dataclasses import dataclass, field

from services.sandbox.errors import ApiError, invalid, not_found

SYSTEM_LABELS = (
    "CHAT",
    "SENT",
    "INBOX",
    "IMPORTANT",
    "TRASH",
    "DRAFT",
    "SPAM",
    "CATEGORY_FORUMS",
    "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL",
    "CATEGORY_PROMOTIONS",
    "CATEGORY_SOCIAL",
    "STARRED",
    "UNREAD",
)
SET_BY_GMAIL_ONLY = {"SENT", "DRAFT", "CHAT"}
_MAX_NAME = 225
_MAX_LABELS = 10_000


@dataclass(slots=True)
class Label:
    """One label; `visibility` and `color` are kept as given."""

    id: str
    name: str
    is_system: bool = False
    look: dict[str, object] = field(default_factory=dict)


class LabelBook:
    """Labels by id; names are unique without regard to case."""

    def __init__(self) -> None:
        self.by_id = {name: Label(name, name, is_system=True) for name in SYSTEM_LABELS}
        self._next = 1

    def get(self, label_id: str) -> Label:
        if label_id not in self.by_id:
            raise not_found()
        return self.by_id[label_id]

    def create(self, name: str | None, look: dict[str, object]) -> Label:
        """Make a user label.

        Raises:
            ApiError: 400 the name is empty, too long or reserved; 409 it is taken.

        """
        checked = self._checked(name, None)
        label = Label(f"Label_{self._next}", checked, look=look)
        self._next += 1
        self.by_id[label.id] = label
        return label

    def patch(self, label_id: str, name: str | None, look: dict[str, object]) -> Label:
        label = self.get(label_id)
        if label.is_system:
            raise invalid("Cannot update system label")
        if name is not None:
            label.name = self._checked(name, label)
        label.look.update(look)
        return label

    def delete(self, label_id: str) -> None:
        if self.get(label_id).is_system:
            raise invalid("Cannot delete system label")
        del self.by_id[label_id]

    def check_change(self, add: list[str], remove: list[str]) -> None:
        """Raise Google's 400 for labels that do not exist, or that only Gmail itself sets."""
        for label_id in (*add, *remove):
            if label_id not in self.by_id or label_id in SET_BY_GMAIL_ONLY:
                raise invalid(f"Invalid label: {label_id[:100]}")
        if set(add) & set(remove):
            raise invalid("Cannot both add and remove the same label")

    def named(self, name: str) -> str | None:
        """Id of the label that a search names: case, spaces and slashes do not matter there."""
        wanted = _searchable(name)
        return next((label.id for label in self.by_id.values() if _searchable(label.name) == wanted), None)

    def _checked(self, name: str | None, own: Label | None) -> str:
        if not name or not name.strip() or len(name) > _MAX_NAME:
            raise invalid("Invalid label name" if name else "Label name is required")
        if name.upper() in SYSTEM_LABELS or len(self.by_id) >= _MAX_LABELS:
            raise invalid("Invalid label name")
        for label in self.by_id.values():
            if label is not own and label.name.lower() == name.lower():
                raise ApiError(409, "aborted", "Label name exists or conflicts")
        return name


def _searchable(name: str) -> str:
    return name.lower().replace(" ", "-").replace("/", "-").replace("_", "-")
