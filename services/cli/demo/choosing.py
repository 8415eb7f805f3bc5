"""Which lists the demo ends: some of every kind, where the mailbox has them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.cli.demo.rest import Json

WAYS: Final = {
    "one_click": "one-click",
    "mailto": "by mail",
    "web_page": "needs a person",
    "unsafe": "refused as unsafe",
    "none": "no way offered",
}
"""Ways to end a list, or not to, and how the report names them."""

_WANTED: Final = {"one_click": 2, "mailto": 1, "web_page": 1, "unsafe": 1, "none": 1}
_NOTHING_OFFERED: Final = "NO_LIST_UNSUBSCRIBE"


@dataclass(frozen=True, slots=True)
class Choice:
    """Subscriptions to end, and the ways that no subscription of this mailbox offers."""

    chosen: tuple[Json, ...]
    missing: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        """What the requests name."""
        return [subscription["id"] for subscription in self.chosen]


def way_of(item: Json) -> str:
    """The way of a subscription or an outcome: its method; where there is none, whether one was unsafe."""
    if item["method"] != "none":
        return item["method"]
    return "none" if item.get("method_reason", item.get("reason")) == _NOTHING_OFFERED else "unsafe"


def choose(subscriptions: Sequence[Json]) -> Choice:
    """Take the largest lists of each way."""
    chosen: list[Json] = []
    missing: list[str] = []
    for way, wanted in _WANTED.items():
        found = _of(subscriptions, way)[:wanted]
        chosen += found
        if not found:
            missing.append(way)
    return Choice(tuple(chosen), tuple(missing))


def next_ones(subscriptions: Sequence[Json], taken: Iterable[str], ways: Iterable[str]) -> tuple[Json, ...]:
    """The largest list of each way that was not taken yet."""
    left = [item for item in subscriptions if item["id"] not in set(taken)]
    firsts = (next(iter(_of(left, way)), None) for way in ways)
    return tuple(item for item in firsts if item is not None)


def _of(subscriptions: Sequence[Json], way: str) -> list[Json]:
    return [item for item in subscriptions if way_of(item) == way and item["state"] == "candidate"]
