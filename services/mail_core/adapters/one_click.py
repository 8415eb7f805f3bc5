"""RFC 8058 one-click: the one POST that ends a subscription, and never anything else."""

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from services.common.egress import Answered, Egress, EgressOutcome, NeverConnected, Refused
from services.mail_core.domain.attempt import (
    AttemptOutcome,
    one_click_address_refused,
    one_click_answer_lost,
    one_click_answered,
    one_click_not_reached,
)

_FIELD: Final = "List-Unsubscribe"
_VALUE: Final = "One-Click"


@dataclass(frozen=True, slots=True)
class GuardedOneClick:
    """Posts one-click requests through the guarded way out."""

    egress: Egress

    async def post(self, url: str) -> AttemptOutcome:
        """Ask the sender's host once to end the subscription that this link stands for.

        Repeats nothing, but for the second encoding that RFC 8058 §3.2 allows when the host answers
        that it does not understand the first (415): such a host has not acted.
        """
        outcome = await self.egress.post(url, *_as_multipart())
        if outcome == Answered(HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
            outcome = await self.egress.post(url, *_as_form())
        return _judge(outcome)


def _as_multipart() -> tuple[bytes, str]:
    boundary = f"mailwarden-{secrets.token_hex(8)}"
    lines = [
        f"--{boundary}",
        f'Content-Disposition: form-data; name="{_FIELD}"',
        "",
        _VALUE,
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode(), f"multipart/form-data; boundary={boundary}"


def _as_form() -> tuple[bytes, str]:
    return f"{_FIELD}={_VALUE}".encode(), "application/x-www-form-urlencoded"


def _judge(outcome: EgressOutcome) -> AttemptOutcome:
    if isinstance(outcome, Answered):
        return one_click_answered(outcome.status)
    if isinstance(outcome, NeverConnected):
        return one_click_not_reached()
    return one_click_address_refused() if isinstance(outcome, Refused) else one_click_answer_lost()
