"""Google's published quota costs of Gmail methods, as data.

Source: Gmail API usage limits. Cloud projects made since 2026-05-01 have the 2026 table; projects that were
active before keep the 2025 one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class QuotaTable:
    """Units that each method costs and units that one user may spend in a minute."""

    units_per_minute: int
    costs: Mapping[str, int]


_SAME_IN_BOTH = {
    "getProfile": 1,
    "labels.list": 1,
    "labels.get": 1,
    "labels.create": 5,
    "labels.update": 5,
    "labels.delete": 5,
    "history.list": 2,
    "messages.list": 5,
    "messages.modify": 5,
    "messages.send": 100,
    "messages.batchModify": 50,
    "messages.batchDelete": 50,
    "threads.list": 10,
    "watch": 100,
    "stop": 50,
}
_DEARER_IN_2026 = {
    "messages.get": (20, 5),
    "messages.trash": (20, 5),
    "attachments.get": (20, 5),
    "drafts.get": (20, 5),
    "threads.get": (40, 10),
}

TABLES: Mapping[str, QuotaTable] = MappingProxyType(
    {
        "2026": QuotaTable(6_000, _SAME_IN_BOTH | {name: new for name, (new, _) in _DEARER_IN_2026.items()}),
        "2025": QuotaTable(15_000, _SAME_IN_BOTH | {name: old for name, (_, old) in _DEARER_IN_2026.items()}),
    }
)
# A batch's parts run at once at Google, which refuses more than this many of one user.
MAX_BATCH_PARTS = 25
MAX_BATCH_MODIFY_IDS = 1_000
MAX_PAGE_SIZE = 500


def units(method: str, table: str = "2026") -> int:
    """Give the units of one call, for example of `messages.get`; a batch costs the sum of its parts.

    Raises KeyError: the method or the table is not known. A guess here would be a quota error there.
    """
    return TABLES[table].costs[method]


def units_per_minute(table: str = "2026") -> int:
    """Give the units that one user may spend in a minute."""
    return TABLES[table].units_per_minute
