"""The demo's story, part by part: scan, lists, unsubscribing, calendar, agents, one trace."""

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.demo import report
from services.cli.demo.agents import A2aAgent, Agent, McpAgent
from services.cli.demo.choosing import WAYS, Choice, choose, next_ones
from services.cli.demo.rest import Json, Rest
from services.cli.demo.sandbox import Sandbox
from services.cli.demo.traces import TraceReceiver
from services.cli.failure import Failure
from services.cli.system import Endpoints, failing_plainly

ZONE: Final = "Europe/Paris"
_NEW_MAIL: Final = 3
_TRACE_WAIT_S: Final = 10.0
_SETTLED: Final = ("accepted", "sent")
_TRACED: Final = ("edge_rest", "auth", "mail_core")


@dataclass(slots=True)
class Story:
    """What the parts share. `is_real_mail` when the mailbox holds somebody's real mail."""

    console: Console
    endpoints: Endpoints
    api_key: str
    rest: Rest
    sandbox: Sandbox
    is_real_mail: bool
    subscriptions: Sequence[Json] = ()
    taken: set[str] = field(default_factory=set)
    settled: list[str] = field(default_factory=list)

    async def scan(self) -> None:
        """Read the mailbox, sort it, label it; progress comes from the operation's events."""
        note = "POST /v1/mailboxes/me/scans, followed by its server-sent events"
        report.heading(self.console, 1, "Scan", note)
        started = time.monotonic()
        operation = await self._run("/v1/mailboxes/me/scans", {}, "reading mail")
        scan = operation["scan"]
        labels = {label["name"]: label["messages"] for label in (await self.sandbox.summary())["labels"]}
        self.console.print(report.triage_table(scan, labels))
        self.console.print(
            f"\n{scan['listed_count']:,} messages found, {scan['scanned_count']:,} read,"
            f" {scan['failed_count']:,} unreadable, {scan['labelled_count']:,} labelled,"
            f" {scan['quota_units']:,} quota units, {time.monotonic() - started:.1f} s"
            + (" [yellow](partial)[/]" if scan["partial"] else ""),
            highlight=False,
        )

    async def lists(self) -> None:
        """Show what fills the mailbox."""
        note = "GET /v1/mailboxes/me/subscriptions; the largest, then the smaller ones that need a person"
        report.heading(self.console, 2, "The lists that fill the mailbox", note)
        self.subscriptions = await self.rest.subscriptions()
        self.console.print(report.lists_table(self.subscriptions))
        self.console.print(f"\n{report.lists_summary(self.subscriptions)}", highlight=False)

    async def unsubscribe(self) -> None:
        """End some of every kind, then ask for the same again."""
        note = "POST /v1/mailboxes/me/unsubscribes; every attempt is claimed before the network is touched"
        report.heading(self.console, 3, "Unsubscribe", note)
        choice = choose(self.subscriptions)
        for way in choice.missing:
            self.console.print(
                f"[dim]No list in this mailbox is of the kind “{WAYS[way]}”.[/]", highlight=False
            )
        if not choice.chosen:
            return
        await self._unsubscribe(choice)
        sent = await self._sent()
        self.console.print("\n[bold]The same request again[/]\n")
        await self._unsubscribe(choice, is_brief=True)
        self._prove(sent, await self._sent())

    async def calendar(self) -> None:
        """Ask about time."""
        report.heading(self.console, 4, "Availability", "POST /v1/availability and /v1/meeting-intervals")
        window = working_week()
        zone = ZoneInfo(ZONE)
        free = await self.rest.post("/v1/availability", window)
        verdict = "[green]free all along[/]" if free["available"] else "[yellow]not free all along[/]"
        self.console.print(f"{window['start'][:10]} to {window['end'][:10]}: {verdict}", highlight=False)
        self.console.print(report.intervals("Busy", free["busy"][:8], zone))
        wish = window | {"duration_minutes": 45, "time_zone": ZONE, "buffer_minutes": 15, "max_intervals": 5}
        found = await self.rest.post("/v1/meeting-intervals", wish)
        title = f"Room for 45 minutes, 15 of peace on both sides, office hours in {ZONE}"
        self.console.print(report.intervals(title, found["intervals"], zone))

    async def agents(self) -> None:
        """Tell the same story through MCP and A2A."""
        note = "the clients that the makers of both protocols ship"
        report.heading(self.console, 5, "The same through MCP and A2A", note)
        told: dict[str, Mapping[str, str]] = {}
        async with failing_plainly(), McpAgent.open(self.endpoints.mcp, self.api_key) as agent:
            told["MCP"] = await self._tell(agent, "MCP")
        async with A2aAgent.open(self.endpoints.a2a, self.api_key) as agent:
            told["A2A"] = await self._tell(agent, "A2A")
        actions = next(iter(told.values()))
        rows = [(action, [answers[action] for answers in told.values()]) for action in actions]
        self.console.print(report.agents_table(tuple(told), rows))

    async def trace(self, receiver: TraceReceiver, api_key: str) -> None:
        """Follow one request through every process. A key that no edge has seen shows auth's part too."""
        report.heading(
            self.console, 6, "One request, one trace", "POST /v1/availability with a W3C traceparent"
        )
        trace_id, root_id = secrets.token_hex(16), secrets.token_hex(8)
        headers = {"traceparent": f"00-{trace_id}-{root_id}-01", "X-API-Key": api_key}
        await self.rest.post("/v1/availability", working_week(), headers)
        spans = await receiver.trace(trace_id, root_id, _TRACED, _TRACE_WAIT_S)
        self.console.print(report.trace_tree(spans, root_id))
        services = sorted({span.service for span in spans})
        if not any(span.name.startswith("google.") for span in spans) or not set(_TRACED) <= set(services):
            raise Failure("the trace has holes: spans are missing")
        self.console.print(
            f"\n{len(spans)} spans of {', '.join(services)}; trace id {trace_id}", highlight=False
        )

    async def _run(self, path: str, body: Json, what: str) -> Json:
        """Ask for an operation and follow it, with a bar, to its end. Raises Failure when it fails."""
        operation = await self.rest.post(path, body)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(what, total=None)
            async for now in self.rest.follow(operation):
                operation, total = now, now["progress"]["total"]
                done = total if now["state"] == "succeeded" else now["progress"]["done"]
                progress.update(bar, completed=done, total=total or None)
        if operation["state"] != "succeeded":
            error = operation["error"] or {}
            raise Failure(f"{what}: {operation['state']}, {error.get('message')} ({error.get('reason')})")
        return operation

    async def _unsubscribe(self, choice: Choice, *, is_brief: bool = False) -> None:
        before = await self.sandbox.requests()
        outcomes = [
            outcome
            for ids, is_rehearsal in self._requests(choice)
            for outcome in await self._end(ids, is_rehearsal=is_rehearsal)
        ]
        reached = (await self.sandbox.requests())[len(before) :]
        self.taken |= set(choice.ids)
        self.settled += [item["subscription_id"] for item in outcomes if item["state"] in _SETTLED]
        got = await self._reached(reached) if not self.is_real_mail else _held_back(outcomes)
        table = report.outcomes_table(outcomes, got, is_brief=is_brief)
        self.console.print(table)

    def _requests(self, choice: Choice) -> Sequence[tuple[list[str], bool]]:
        """Split what may be done for real from what may only be rehearsed.

        One-click links in real mail lead to real hosts; a mail goes no farther than the sandbox.
        """
        if not self.is_real_mail:
            return [(choice.ids, False)]
        rehearsed = [item["id"] for item in choice.chosen if item["method"] == "one_click"]
        if rehearsed:
            self.console.print(
                "[yellow]This is real mail: one-click requests are only rehearsed, nobody is contacted.[/]\n"
            )
        done = [item["id"] for item in choice.chosen if item["method"] != "one_click"]
        return [(ids, is_rehearsal) for ids, is_rehearsal in ((rehearsed, True), (done, False)) if ids]

    async def _end(self, ids: Sequence[str], *, is_rehearsal: bool) -> Sequence[Json]:
        body = {"subscription_ids": list(ids), "dry_run": is_rehearsal}
        what = "rehearsing" if is_rehearsal else "unsubscribing"
        operation = await self._run("/v1/mailboxes/me/unsubscribes", body, what)
        return operation["unsubscribe"]["outcomes"]

    async def _reached(self, requests: Sequence[Json]) -> Mapping[str, str]:
        """By subscription id: what its sender got, as the sandbox recorded it."""
        lists = {item["name"]: item for item in (await self.sandbox.summary())["lists"]}
        got = Counter((item["list"], item["method"]) for item in requests)
        words: dict[str, str] = {}
        for (name, method), count in got.items():
            known = lists.get(name, {})
            for item in self.subscriptions:
                if item["key"] == known.get("list_id") or item["sender"] in known.get("senders", ()):
                    words[item["id"]] = f"{count} {method}"
        return words

    async def _sent(self) -> tuple[int, int]:
        """How many requests reached senders, and how many mails lie in the Sent folder."""
        labels = {label["id"]: label["messages"] for label in (await self.sandbox.summary())["labels"]}
        return len(await self.sandbox.requests()), labels.get("SENT", 0)

    def _prove(self, once: tuple[int, int], twice: tuple[int, int]) -> None:
        if once != twice:
            raise Failure(f"something was sent twice: {once} before the repeated request, {twice} after it")
        requests, mails = twice
        on_record = f"{report.counted(requests, 'request')} on the senders' record, "
        folder = f"{report.counted(mails, 'mail')} in the Sent folder"
        self.console.print(
            f"\n[green]Nothing was sent twice:[/] {'' if self.is_real_mail else on_record}{folder}, before"
            " the repeated request and after it.",
            highlight=False,
        )

    async def _tell(self, agent: Agent, name: str) -> Mapping[str, str]:
        """The five actions by one protocol, each with what it answered."""
        told = {"hello": agent.greeting}
        window = working_week()
        for action, arguments in (
            ("check_availability", window),
            ("available_meeting_intervals", window | {"duration_minutes": 45, "time_zone": ZONE}),
            ("scan_mailbox", await self._new_mail(name)),
            ("list_unsubscribe_candidates", {"states": ["candidate"], "page_size": 100}),
            ("execute_unsubscribe", self._next()),
        ):
            if action == "execute_unsubscribe" and not arguments["subscription_ids"]:
                told[action] = "no list is left that can be ended"
                continue
            started = time.monotonic()
            answer = await agent.act(action, arguments)
            words = report.in_words(action, answer.content)
            told[action] = f"{words} [dim]{(time.monotonic() - started) * 1000:.0f} ms[/]"
        return told

    async def _new_mail(self, name: str) -> Json:
        """Let a list write, so that the scan has something new; real mail is left as it is."""
        if not self.is_real_mail:
            lists = [item["name"] for item in (await self.sandbox.summary())["lists"] if not item["ended"]]
            await self.sandbox.deliver(lists[len(name) % len(lists)], _NEW_MAIL)
        return {}

    def _next(self) -> dict[str, Any]:
        """One list that was not ended yet, and one that was: it must not be ended twice."""
        ways = ("mailto",) if self.is_real_mail else ("one_click", "mailto")
        fresh = next_ones(self.subscriptions, self.taken, ways)[:1]
        before = self.settled[:1] if fresh else []
        self.taken |= {item["id"] for item in fresh}
        return {"subscription_ids": [*(item["id"] for item in fresh), *before]}


def _held_back(outcomes: Sequence[Json]) -> Mapping[str, str]:
    """Senders of real mail get nothing: the sandbox keeps what is sent."""
    mailed = (item for item in outcomes if item["state"] == "sent" and not item["already_done"])
    return {item["subscription_id"]: "nothing; the sandbox keeps the mail" for item in mailed}


def working_week() -> dict[str, Any]:
    """Monday to Friday of the next week, as RFC 3339."""
    today = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
    monday = today + timedelta(days=7 - today.weekday())
    friday = monday + timedelta(days=4, hours=12)
    return {"start": monday.isoformat(), "end": friday.isoformat()}
