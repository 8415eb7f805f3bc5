"""The sandbox's control API: new mail on demand, and what really reached the senders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from services.cli.demo.rest import Json


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The local Google that the demo runs against."""

    url: str
    session: aiohttp.ClientSession

    async def summary(self) -> Json:
        """Counts of messages, labels and quota, as the mailbox itself has them."""
        async with self.session.get(f"{self.url}/sandbox/summary") as answer:
            return await answer.json()

    async def requests(self) -> Sequence[Json]:
        """Every request and mail that reached a sender, oldest first."""
        async with self.session.get(f"{self.url}/sandbox/requests") as answer:
            return (await answer.json())["requests"]

    async def asked(self) -> Counter[tuple[str, str]]:
        """How often each list was asked, by list and by kind (`http`, `mail`)."""
        return Counter((str(item["list"]), item["kind"]) for item in await self.requests())

    async def deliver(self, name: str, count: int) -> None:
        """Let a list send new mail."""
        async with self.session.post(
            f"{self.url}/sandbox/deliver", json={"list": name, "count": count}
        ) as answer:
            answer.raise_for_status()
