"""How the demo looks: headings, tables, a tree. On a terminal and in a file alike."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from services.cli.demo.choosing import WAYS, way_of
from services.cli.demo.rest import Json
from services.cli.demo.traces import Span, children_of

_LARGE_LISTS: Final = 14
_SMALL_LISTS: Final = 12
_NOT_BY_US: Final = ("web_page", "none")
_BAR_CELLS: Final = 14
_NAME_CHARS: Final = 34
_STATES: Final = {
    "accepted": "[green]accepted[/]",
    "sent": "[green]mail sent[/]",
    "needs_person": "[yellow]needs a person[/]",
    "refused": "[red]refused[/]",
    "failed": "[red]failed[/]",
    "unknown": "[magenta]unknown[/]",
}
_WAY_STYLES: Final = {
    "one_click": "green",
    "mailto": "cyan",
    "web_page": "yellow",
    "unsafe": "red",
    "none": "dim",
}


def heading(console: Console, number: int, text: str, note: str = "") -> None:
    """Begin a part of the report."""
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left", style="blue")
    if note:
        console.print(f"[dim]{note}[/]\n", highlight=False)


def triage_table(scan: Json, labels: Mapping[str, int]) -> Table:
    """Messages by category, and what the mailbox itself now counts under the label."""
    table = _table("category", ">messages", "share", "Gmail label", ">in Gmail now")
    total = max(1, sum(row["count"] for row in scan["categories"]))
    for row in scan["categories"]:
        label = row["label"]
        in_gmail = f"{labels[label]:,}" if label in labels else ""
        table.add_row(
            row["category"], f"{row['count']:,}", _bar(row["count"] / total), label or "(none)", in_gmail
        )
    return table


def lists_table(subscriptions: Sequence[Json]) -> Table:
    """The lists that fill the mailbox, the largest first, and of the smaller ones those that need a word."""
    table = _table(">#", "list", ">messages", "", "last seen", "how to end it", "why")
    largest = max((item["message_count"] for item in subscriptions), default=1)
    ranked = list(enumerate(subscriptions, 1))
    small = [row for row in ranked[_LARGE_LISTS:] if row[1]["method"] in _NOT_BY_US]
    names = Counter(item["display_name"] for item in subscriptions)
    for rank, item in (*ranked[:_LARGE_LISTS], *small[:_SMALL_LISTS]):
        table.add_row(
            str(rank),
            _name(item["display_name"] or item["key"]) + _apart(item, names),
            f"{item['message_count']:,}",
            _bar(item["message_count"] / largest),
            item["last_seen_time"][:10],
            _way(item),
            Text(item["method_reason"].replace("_", " ").lower(), style="dim"),
            end_section=rank == _LARGE_LISTS,
        )
    return table


def _apart(item: Json, names: Mapping[str, int]) -> Text:
    """What tells two lists of one name apart: their keys."""
    is_alone = names[item["display_name"]] == 1
    return Text() if is_alone else Text(" ") + _name(item["key"].partition(".")[0], style="dim")


def lists_summary(subscriptions: Sequence[Json]) -> str:
    """All lists by way."""
    ways = Counter(way_of(item) for item in subscriptions)
    counts = ", ".join(f"{ways[way]} {words}" for way, words in WAYS.items() if ways[way])
    messages = sum(item["message_count"] for item in subscriptions)
    return f"{counted(len(subscriptions), 'list')} with {counted(messages, 'message')}: {counts or 'none'}."


def counted(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def outcomes_table(outcomes: Sequence[Json], asked: Mapping[str, str], *, is_brief: bool) -> Table:
    """What became of each list. `asked` tells by id what reached the sender."""
    columns = ("list", "way", "outcome", "what reached the sender", "in words")
    table = _table(*(columns[:-1] if is_brief else columns))
    for item in outcomes:
        reached = asked.get(item["subscription_id"], "nothing")
        words = () if is_brief else (Text(item["explanation"], style="dim"),)
        table.add_row(_name(item["display_name"]), _way(item), _state(item), reached, *words)
    return table


def _state(item: Json) -> str:
    shown = _STATES.get(item["state"], str(item["state"]))
    return f"{shown} [dim]before[/]" if item["already_done"] else shown


def intervals(title: str, rows: Sequence[Json], zone: tzinfo) -> RenderableType:
    """Stretches of time, one a line, in local time."""
    lines = [f"  {_when(row, zone)}" for row in rows] or ["  none"]
    return Group(Text(title, style="bold"), *lines)


def _when(row: Json, zone: tzinfo) -> str:
    start, end = (datetime.fromisoformat(row[name]).astimezone(zone) for name in ("start_time", "end_time"))
    return f"{start:%a %d %b  %H:%M} to {end:%H:%M}"


def agents_table(names: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """One row per action, one column per protocol."""
    table = _table("action", *names)
    for action, answers in rows:
        table.add_row(f"[bold]{action}[/]", *answers)
    return table


def events_table(events: Sequence[Json]) -> Table:
    """Audit events, newest first."""
    table = _table(">sequence", "action", "of", "at", "outcome", "hash")
    for event in events:
        denied = f"[yellow]{event['outcome']}[/] {event['reason']}".strip()
        outcome = event["outcome"] if event["outcome"] == "ok" else denied
        cells = (event["action"], event["resourceType"] or "", event["edge"], outcome, event["hash"][:12])
        table.add_row(str(event["sequence"]), *cells)
    return table


def trace_tree(spans: Sequence[Span], root_id: str) -> Tree:
    """Spans under each other, with the process, the time each took, and when it began."""
    begin = min((span.start_ns for span in spans), default=0)
    tree = Tree("[dim]the client's request[/]", guide_style="dim")
    children = children_of(spans)

    def grow(branch: Tree, parent_id: str) -> None:
        for span in children.get(parent_id, ()):
            at_ms = (span.start_ns - begin) / 1_000_000
            text = f"[cyan]{span.service:<9}[/] [bold]{escape(span.name)}[/]  {span.duration_ms:.1f} ms"
            grow(branch.add(f"{text} [dim]at {at_ms:.1f}[/]"), span.id)

    grow(tree, root_id)
    return tree


def memory_table(idle: Mapping[str, float], busy: Mapping[str, float]) -> Table:
    """Memory of each process, before the work and after it."""
    table = _table("process", ">idle, MB", ">after the demo, MB")
    for name in idle:
        table.add_row(name, f"{idle[name]:.0f}", f"{busy.get(name, 0.0):.0f}")
    table.add_section()
    table.add_row("together", f"[bold]{sum(idle.values()):.0f}[/]", f"[bold]{sum(busy.values()):.0f}[/]")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold dim", show_edge=False)
    for column in columns:
        is_number = column.startswith(">")
        name = column.removeprefix(">")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number or not name)
    return table


def _bar(share: float) -> Text:
    cells = max(1, round(share * _BAR_CELLS)) if share else 0
    return Text("█" * cells, style="blue")


def _way(item: Json) -> str:
    way = way_of(item)
    return f"[{_WAY_STYLES.get(way, 'white')}]{WAYS.get(way, way)}[/]"


def _name(untrusted: str, style: str = "") -> Text:
    """Text out of a mail: never markup, never control characters, never long."""
    clean = "".join(char if char.isprintable() else "·" for char in untrusted)
    return Text(clean if len(clean) <= _NAME_CHARS else f"{clean[: _NAME_CHARS - 1]}…", style)


def in_words(action: str, answer: Json) -> str:
    """One line about an agent's answer. MCP answers with the operation, A2A with its report."""
    return _WORDS[action](answer.get("scan") or answer.get("unsubscribe") or answer)


def _availability(answer: Json) -> str:
    return "free all along" if answer["available"] else f"busy {len(answer['busy'])} times"


def _meetings(answer: Json) -> str:
    found = answer["intervals"]
    first = f", the first {found[0]['start_time'][:16].replace('T', ' ')} UTC" if found else ""
    return f"{len(found)} suggestions{first}"


def _scan(answer: Json) -> str:
    kind = "only what is new" if answer["incremental"] else "all"
    return f"{answer['scanned_count']:.0f} messages read ({kind})"


def _candidates(answer: Json) -> str:
    return f"{answer['total_size']:.0f} lists"


def _unsubscribed(answer: Json) -> str:
    names = ((escape(_name(item["display_name"]).plain), item) for item in answer["outcomes"])
    return ", ".join(f"{name}: {_state(item)}" for name, item in names)


_WORDS: Final[Mapping[str, Callable[[Json], str]]] = {
    "check_availability": _availability,
    "available_meeting_intervals": _meetings,
    "scan_mailbox": _scan,
    "list_unsubscribe_candidates": _candidates,
    "execute_unsubscribe": _unsubscribed,
}
