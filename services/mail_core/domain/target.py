"""What an unsubscribe is addressed to, in one form: two lists that share a link are ended by one request."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from services.mail_core.domain.mailto import Mailto, parse_mailto
from services.mail_core.domain.unsubscribe_plan import UnsubscribePlan


class TargetUse(StrEnum):
    """What a target was used for, by us or by an earlier system. Stored words."""

    UNSUBSCRIBED = "unsubscribed"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class Target:
    """What a plan needs to be carried out. It holds tokens of one recipient: at rest it is sealed.

    `alias` is the address of the owner that the list writes to.
    """

    one_click_url: str | None = field(default=None, repr=False)
    mailto: Mailto | None = field(default=None, repr=False)
    web_page_url: str | None = field(default=None, repr=False)
    alias: str = field(default="", repr=False)

    @classmethod
    def of(cls, plan: UnsubscribePlan, alias: str) -> Self:
        """Take from a plan what it needs."""
        return cls(plan.one_click_url, plan.mailto, plan.web_page_url, alias)

    def to_json(self) -> dict[str, Any]:
        """Give the form that is sealed."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the form that was sealed. Raises KeyError or TypeError for anything else."""
        mailto = Mailto(**stored["mailto"]) if stored["mailto"] else None
        return cls(stored["one_click_url"], mailto, stored["web_page_url"], stored["alias"])


def target_of(plan: UnsubscribePlan | Target) -> str:
    """Give the target of a plan; empty when it leaves nothing for us to send."""
    if plan.one_click_url is not None:
        return canonical_target(plan.one_click_url)
    return _written(plan.mailto) if plan.mailto else ""


def canonical_target(uri: str) -> str:
    """Give the one form of a link or a mailto URI. Lists at one provider may differ in the subject alone."""
    if not uri.lower().startswith("mailto:"):
        return uri.partition("#")[0]
    mailto = parse_mailto(uri)
    return _written(mailto) if isinstance(mailto, Mailto) else uri


def _written(mailto: Mailto) -> str:
    return f"mailto\n{mailto.recipient.lower()}\n{mailto.subject}\n{mailto.body}"
