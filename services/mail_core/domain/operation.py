"""Operations and their reports as they are stored: the words of the contract, plain JSON in and out."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from services.mail_core.domain.ids import SubscriptionId
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.domain.unsubscribe_plan import Method


class OperationKind(StrEnum):
    """Kind of an operation."""

    SCAN = "scan"
    UNSUBSCRIBE = "unsubscribe"


class OperationState(StrEnum):
    """State of an operation."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when it changes no more."""
        return self not in (OperationState.QUEUED, OperationState.RUNNING)


class Phase(StrEnum):
    """What an operation is doing."""

    NONE = ""
    LISTING = "listing"
    FETCHING = "fetching"
    LABELLING = "labelling"
    UNSUBSCRIBING = "unsubscribing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is; `total` is 0 while unknown."""

    done: int = 0
    total: int = 0
    phase: Phase = Phase.NONE

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form; words that an older version did not know are left out."""
        values = _known(cls, stored)
        values["phase"] = Phase(stored.get("phase", ""))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class OperationError:
    """Why an operation failed; both parts are safe to show."""

    reason: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(**_known(cls, stored))


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """Scanned messages of one category; `label` is empty for OTHER."""

    category: str
    label: str
    count: int = 0

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(**_known(cls, stored))


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found."""

    dry_run: bool = False
    incremental: bool = False
    partial: bool = False
    listed_count: int = 0
    scanned_count: int = 0
    failed_count: int = 0
    labelled_count: int = 0
    categories: tuple[CategoryCount, ...] = ()
    subscription_count: int = 0
    quota_units: int = 0

    def counting(self, categories: Iterable[str]) -> Self:
        """Add one message for each category named.

        Raises KeyError: a category that the report does not have.
        """
        counts = {count.category: count for count in self.categories}
        for category in categories:
            counts[category] = replace(counts[category], count=counts[category].count + 1)
        return replace(self, categories=tuple(counts.values()))

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return asdict(self) | {"categories": [asdict(count) for count in self.categories]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        values = _known(cls, stored)
        values["categories"] = tuple(CategoryCount.from_json(count) for count in stored.get("categories", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class UnsubscribeOutcome:
    """What became of one subscription that was asked for.

    `web_page_url` is not stored: who shows the outcome takes it from the subscription, which has it sealed.
    """

    subscription_id: SubscriptionId
    display_name: str
    state: SubscriptionState
    method: Method
    already_done: bool = False
    reason: str = ""
    explanation: str = ""
    web_page_url: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give the stored form, without the page: links are sealed, and results are not."""
        stored = asdict(self)
        del stored["web_page_url"]
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        values = _known(cls, stored)
        values["state"] = SubscriptionState(stored["state"])
        values["method"] = Method(stored["method"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class UnsubscribeReport:
    """What an unsubscribe operation did, one row per subscription asked for, in their order."""

    dry_run: bool = False
    outcomes: tuple[UnsubscribeOutcome, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return {"dry_run": self.dry_run, "outcomes": [outcome.to_json() for outcome in self.outcomes]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        outcomes = tuple(UnsubscribeOutcome.from_json(outcome) for outcome in stored.get("outcomes", ()))
        return cls(bool(stored.get("dry_run")), outcomes)


Report = ScanReport | UnsubscribeReport


def report_from_json(kind: OperationKind, stored: Mapping[str, Any]) -> Report:
    """Read the stored result of an operation of this kind."""
    if kind is OperationKind.SCAN:
        return ScanReport.from_json(stored)
    return UnsubscribeReport.from_json(stored)


def _known(cls: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields that a class has, so that a newer version's row can be read by an older one."""
    return {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
