"""The demo's part about rights: a key for an agent, what it may not do, how fast it ends, the record."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from services.cli.admin import Operator
from services.cli.demo import report
from services.cli.demo.rest import Json, Rest
from services.cli.failure import Failure

_LOOK_EVERY_S: Final = 0.01
_PATIENCE_S: Final = 10.0
_SHOWN: Final = 6
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Rights:
    """Uses an admin key by REST, and the operator's certificate to verify the log."""

    console: Console
    rest: Rest
    operator: Operator

    async def tell(self, number: int) -> None:
        """Make a key, use it, revoke it. Raises Failure when it may do more than it should."""
        note = "POST /v1/team/keys, DELETE /v1/team/keys/{id}, GET /v1/audit, mailwarden audit verify"
        report.heading(self.console, number, "A key for an agent, and the record of it", note)
        wish = {"label": "an agent", "ttl_minutes": 5, "restrictions": {"read_only": True}}
        made = await self.rest.post("/v1/team/keys", wish)
        async with Rest.open(self.rest.url, made["secret"]) as agent:
            seen = (await agent.get("/v1/mailboxes/me/subscriptions", page_size=1))["total_size"]
            refusal = await _refusal(agent, "/v1/mailboxes/me/scans")
            revoked_at = time.monotonic()
            await self.rest.delete(f"/v1/team/keys/{made['key']['id']}")
            await _until_refused(agent)
            ended_ms = (time.monotonic() - revoked_at) * 1_000
        self._say(f"A read-only key of 5 minutes sees {seen} lists, and may not scan: [yellow]{refusal}[/].")
        self._say(
            f"Revoked, it was refused [green]{ended_ms:.0f} ms[/] later, though the edge had cached it.\n"
        )
        self.console.print(report.events_table(await self._recorded(made["key"]["id"])))
        self._say(f"\n[green]The hash chains hold:[/] {await self._verified():,} events recomputed.")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    async def _recorded(self, key_id: str) -> Sequence[Json]:
        """The newest events, once the refusal of the key is among them: the core's events take a moment."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                events = (await self.rest.get("/v1/audit", limit=_SHOWN))["events"]
                if any(event["reason"] == "READ_ONLY" and key_id in event["credential"] for event in events):
                    return events
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _verified(self) -> int:
        count = 0
        async for chain in self.operator.verify_audit():
            if not chain.intact:
                raise Failure(f"the audit log of team {chain.team_id} does not hold")
            count += chain.event_count
        return count


async def _refusal(agent: Rest, path: str) -> str:
    async with agent.session.post(f"{agent.url}{path}", json={}) as answer:
        problem = await answer.json(content_type=None)
        if answer.ok:
            raise Failure("a read-only key was allowed to scan")
        return f"{answer.status} {problem['reason']}"


async def _until_refused(agent: Rest) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            async with agent.session.get(f"{agent.url}/v1/me") as answer:
                if answer.status == _UNAUTHORIZED:
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
