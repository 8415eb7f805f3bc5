"""Senders' hosts in memory."""

import asyncio
from dataclasses import dataclass, field

from services.mail_core.domain.attempt import AttemptOutcome, one_click_answered


@dataclass
class FakeOneClick:
    """The OneClick port. `outcomes` by URL; any other is accepted. `posted` is what was asked for, in order.

    While `holds` is set, posts wait for it after they are recorded: the moment to kill somebody. `held` does
    so for one URL.
    """

    outcomes: dict[str, AttemptOutcome] = field(default_factory=dict)
    posted: list[str] = field(default_factory=list)
    holds: asyncio.Event | None = None
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    async def post(self, url: str) -> AttemptOutcome:
        self.posted.append(url)
        holds = self.held.get(url, self.holds)
        if holds is not None:
            await holds.wait()
        return self.outcomes.get(url, one_click_answered(200))
