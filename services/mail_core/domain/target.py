"""What an unsubscribe is addressed to, in one form: two lists that share a link are ended by one request."""

from enum import StrEnum

from services.mail_core.domain.mailto import Mailto, parse_mailto
from services.mail_core.domain.unsubscribe_plan import UnsubscribePlan


class TargetUse(StrEnum):
    """What a target was used for, by us or by an earlier system. Stored words."""

    UNSUBSCRIBED = "unsubscribed"
    SHOWN = "shown"


def target_of(plan: UnsubscribePlan) -> str:
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
