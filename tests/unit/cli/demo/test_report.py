"""How the report looks, read as text."""

from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType

from services.cli.demo import report
from services.cli.demo.traces import Span

MS = 1_000_000


def shown(thing: RenderableType) -> list[str]:
    """Lines of what would be in a file."""
    console = Console(file=StringIO(), width=120)
    console.print(thing)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def subscription(name: str, count: int, **more: Any) -> dict[str, Any]:
    usual = {
        "key": "key.example",
        "last_seen_time": "2026-11-20T10:00:00.000Z",
        "method": "mailto",
        "method_reason": "MAILTO_ONLY",
    }
    return usual | {"display_name": name, "message_count": count} | more


def test_lists_are_ranked_with_volume_last_seen_way_and_reason() -> None:
    """One line says it all."""
    lines = shown(report.lists_table([subscription("Gazette", 1_234), subscription("Small", 3)]))
    assert lines[1].split() == [
        "1",
        "Gazette",
        "1,234",
        "██████████████",
        "2026-11-20",
        "by",
        "mail",
        "mailto",
        "only",
    ]
    assert lines[2].startswith("2  Small")


def test_text_out_of_a_mail_is_neither_markup_nor_control() -> None:
    """A sender's name cannot colour, clear or lengthen the screen."""
    hostile = "[bold red]x[/]\x1b[2J\u202e" + "y" * 500
    (_, line) = shown(report.lists_table([subscription(hostile, 1)]))
    assert "[bold red]x[/]·[2J·yyy" in line
    assert len(line) <= 120


def test_two_lists_of_one_name_are_told_apart_by_their_keys() -> None:
    """A publisher with several lists."""
    twins = [subscription("Daily", 2, key="sport.daily.example"), subscription("Daily", 1, key="news.x")]
    assert [line.split()[2] for line in shown(report.lists_table(twins))[1:]] == ["sport", "news"]


def test_small_lists_that_need_a_person_are_shown_below_the_large_ones() -> None:
    """They are what a person has to do something about."""
    large = [subscription(f"L{n}", 50) for n in range(14)]
    small = [subscription("plain", 2), subscription("page", 1, method="web_page")]
    lines = shown(report.lists_table([*large, *small]))
    assert not any("plain" in line for line in lines)
    assert "16  page" in lines[-1]


def test_an_outcome_that_was_settled_before_says_so() -> None:
    """The second time differs from the first."""
    outcome = {
        "subscription_id": "1", "display_name": "Gazette", "state": "accepted", "method": "one_click",
        "already_done": True, "reason": "", "explanation": "Settled.",
    }  # fmt: skip
    (_, line) = shown(report.outcomes_table([outcome], {"1": "1 POST"}, is_brief=False))
    assert line.split() == ["Gazette", "one-click", "accepted", "before", "1", "POST", "Settled."]


def test_times_are_shown_where_the_person_is() -> None:
    """A meeting at nine in Paris is at nine on the screen."""
    row = {"start_time": "2026-11-23T08:00:00.000Z", "end_time": "2026-11-23T08:45:00.000Z"}
    lines = shown(report.intervals("Room", [row], ZoneInfo("Europe/Paris")))
    assert lines == ["Room", "  Mon 23 Nov  09:00 to 09:45"]


def test_a_trace_is_a_tree_with_processes_and_durations() -> None:
    """From the client's request down to the Google call."""
    spans = [
        Span("t", "a", "root", "edge_rest", "POST /v1/availability", 0, 30 * MS),
        Span("t", "b", "a", "mail_core", "mail.CheckAvailability", 5 * MS, 25 * MS),
        Span("t", "c", "b", "mail_core", "google.freebusy", 10 * MS, 20 * MS),
    ]
    assert shown(report.trace_tree(spans, "root")) == [
        "the client's request",
        "└── edge_rest POST /v1/availability  30.0 ms at 0.0",
        "    └── mail_core mail.CheckAvailability  20.0 ms at 5.0",
        "        └── mail_core google.freebusy  10.0 ms at 10.0",
    ]


def test_both_protocols_answers_read_the_same() -> None:
    """MCP answers with the operation, A2A with the report in it."""
    scan = {"scanned_count": 3, "incremental": True}
    assert report.in_words("scan_mailbox", {"scan": scan}) == report.in_words("scan_mailbox", scan)
