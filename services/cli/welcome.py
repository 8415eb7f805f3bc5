"""What a person sees of `mailwarden up`: the steps of the start, then where all is and how to use it."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.status import Status
from rich.table import Table

from services.cli.plan import Plan
from services.cli.system import Endpoints

_MUTATION_TOOLS: Final = "MCP_ENABLE_MUTATION_TOOLS"
_JSON: Final = "-H 'Content-Type: application/json'"
_REAL_LINKS: Final = (
    "The links in your corpus are real: a one-click unsubscribe without dry_run would reach its sender."
)
_NOTHING: Final[Callable[[], None]] = lambda: None  # noqa: E731  a default with a name


class Announcer:
    """Shows the start as a spinner on a terminal and as lines elsewhere; deaths and returns as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self.on_return = _NOTHING

    def step(self, what: str) -> None:
        """Say what begins."""
        if not self._console.is_terminal:
            self._console.print(f"· {what}", highlight=False)
        elif self._status is None:
            self._status = self._console.status(what)
            self._status.start()
        else:
            self._status.update(what)

    def end(self) -> None:
        """Take the spinner away."""
        if self._status:
            self._status.stop()
            self._status = None

    def died(self, name: str, pid: int) -> None:
        """Say that a process ended by itself."""
        self._console.print(f"[yellow]{name} (process {pid}) died; starting it again[/]", highlight=False)

    def returned(self, name: str, pid: int) -> None:
        """Say that it is back, and tell who waits for its new process id."""
        self._console.print(f"[green]{name} is back (process {pid})[/]", highlight=False)
        self.on_return()


def show_welcome(console: Console, plan: Plan, endpoints: Endpoints, api_key: str) -> None:
    """Print the addresses, the key, and examples that can be pasted as they are."""
    console.print("\n[bold green]Mailwarden is up.[/]\n")
    console.print(_addresses(plan, endpoints, api_key))
    for title, example in _examples(endpoints, api_key, plan.inherited):
        console.print(f"\n[bold]{title}[/]")
        # Lines for pasting are never folded or coloured.
        console.print(example, soft_wrap=True, highlight=False, markup=False)
    if plan.corpus:
        console.print(f"\n[yellow]{_REAL_LINKS}[/]", highlight=False)
    if not plan.has_sandbox:
        console.print("\n[bold]Your mailbox[/]")
        console.print("mailwarden mailbox import --token-file token.json", highlight=False)
    console.print("\n[dim]Ctrl-C stops everything.[/]")


def _addresses(plan: Plan, endpoints: Endpoints, api_key: str) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold", no_wrap=False)
    table.add_row("REST", f"{endpoints.rest}   [dim]{endpoints.rest}/openapi.json[/]")
    table.add_row("MCP", endpoints.mcp)
    table.add_row("A2A", f"{endpoints.a2a}   [dim]{endpoints.a2a}/.well-known/agent-card.json[/]")
    table.add_row("A2A over gRPC", endpoints.a2a_grpc)
    table.add_row("OAuth", f"{endpoints.oauth}   [dim]clients that sign people in: use the API key below[/]")
    if endpoints.sandbox:
        table.add_row("sandbox", f"{endpoints.sandbox}   [dim]a local Google, faster than the real one[/]")
    table.add_row("API key", api_key)
    table.add_row("data, logs", str(plan.folder.path))
    return table


def _examples(
    endpoints: Endpoints, api_key: str, inherited: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    has_mail_tools = inherited.get(_MUTATION_TOOLS, "").lower() in {"true", "1", "yes", "on"}
    # In this mode MCP takes no keys: an example with one would be refused.
    takes_keys = inherited.get("MCP_AUTH_MODE", "").strip().lower() != "oauth"
    hint = "" if has_mail_tools else f" (tools for calendars; {_MUTATION_TOOLS}=true adds those for mail)"
    return (
        ("REST", _rest(endpoints.rest, api_key)),
        *(((f"MCP{hint}", _mcp(endpoints.mcp, api_key)),) if takes_keys else ()),
        ("MCP by OAuth: a browser opens, where the API key signs you in", _mcp_by_oauth(endpoints.mcp)),
        ("A2A", _a2a(endpoints.a2a, api_key)),
    )


def _rest(url: str, api_key: str) -> str:
    curl = f"curl -s -H 'X-API-Key: {api_key}'"
    start, end = _tomorrow()
    window = json.dumps({"start_time": start, "end_time": end})
    return "\n".join(
        (
            f"{curl} {url}/v1/me",
            f"{curl} {url}/v1/mailboxes/me/scans {_JSON} -d '{{}}'",
            f"{curl} '{url}/v1/mailboxes/me/subscriptions?page_size=5'",
            f"{curl} {url}/v1/availability {_JSON} -d '{window}'",
        )
    )


def _mcp(url: str, api_key: str) -> str:
    inspector = "npx @modelcontextprotocol/inspector --cli"
    server = {"type": "http", "url": url, "headers": {"X-API-Key": api_key}}
    return "\n".join(
        (
            f"claude mcp add --transport http mailwarden {url} --header 'X-API-Key: {api_key}'",
            f"{inspector} {url} --transport http --method tools/list --header 'X-API-Key: {api_key}'",
            json.dumps({"mcpServers": {"mailwarden": server}}),
        )
    )


def _mcp_by_oauth(url: str) -> str:
    return f"claude mcp add --transport http mailwarden {url}"


def _a2a(url: str, api_key: str) -> str:
    start, end = _tomorrow()
    data = {"action": "check_availability", "start_time": start, "end_time": end}
    message = {"messageId": "1", "role": "ROLE_USER", "parts": [{"data": data}]}
    call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    card = f"curl -s {url}/.well-known/agent-card.json"
    curl = f"curl -s -H 'X-API-Key: {api_key}' -H 'A2A-Version: 1.0' {url}/a2a/rpc"
    return f"{card}\n{curl} {_JSON} -d '{json.dumps(call)}'"


def _tomorrow() -> tuple[str, str]:
    day = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    return day.replace(hour=9).strftime("%Y-%m-%dT%H:%M:%SZ"), day.replace(hour=18).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
