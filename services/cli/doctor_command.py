"""`mailwarden doctor`: its options, its report and its exit code."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.failure import Failure
from services.cli.settings import cli_settings

SCHEMA: Final = "mailwarden.doctor/1"
PASSED, FAILED, COULD_NOT_RUN = 0, 1, 2
_COLUMNS: Final = 150
_STYLES: Final = {"pass": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}


def add_doctor(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden doctor`."""
    parser = commands.add_parser(
        "doctor",
        help="probe the controls of a running system",
        description="Probes every control at run time. Exit code 0: none failed, 1: one did, 2: not run.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; its shape is stable")
    parser.add_argument("--only", default="", metavar="CONTROL[,CONTROL…]", help="probe these alone")
    parser.add_argument("--list", action="store_true", help="name the controls and probe nothing")
    parser.add_argument("--data-dir", type=Path, default=data_dir, help="default: %(default)s")
    parser.set_defaults(run=_doctor)


async def _doctor(options: argparse.Namespace) -> int:
    from services.cli.doctor.findings import CRITERIA, Result, Status
    from services.cli.doctor.run import examine
    from services.cli.doctor.target import find_target

    if options.list:
        for control, criteria in CRITERIA.items():
            print(f"{control:14}{' '.join(criteria)}")  # noqa: T201
        return PASSED
    chosen = [name.strip() for name in options.only.split(",") if name.strip()] or list(CRITERIA)
    if unknown := sorted(set(chosen) - set(CRITERIA)):
        return _could_not(f"there is no control {', '.join(unknown)}; `mailwarden doctor --list` names them")
    started = datetime.now(UTC)
    try:
        target = find_target(options.data_dir, cli_settings())
        await target.operator.team()  # a system that does not answer is not examined
    except Failure as failure:
        return _could_not(str(failure))
    except OSError as error:
        return _could_not(f"{error.filename}: {error.strerror}")
    results: list[Result] = [result async for result in examine(target, chosen)]
    passed = all(result.status is not Status.FAIL for result in results)
    if options.json:
        told = [asdict(result) for result in results]
        report = {"schema": SCHEMA, "started": _time(started), "passed": passed, "results": told}
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        _show(results, passed=passed)
    return PASSED if passed else FAILED


def _show(results: Sequence[Any], *, passed: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("status", "probe", "evidence", "s", "criteria"):
        table.add_column(name, overflow="fold", no_wrap=name in {"status", "probe", "s"})
    for result in results:
        table.add_row(
            f"[{_STYLES[result.status]}]{result.status}[/]",
            result.id,
            Text(result.evidence),
            f"{result.seconds:.2f}",
            " ".join(result.criteria),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=_COLUMNS)
    console.print(table)
    counts = {status: sum(result.status == status for result in results) for status in _STYLES}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(f"{'passed' if passed else 'FAILED'}: {told}", highlight=False)


def _could_not(why: str) -> int:
    Console(stderr=True).print(
        f"mailwarden: {why}", style="red", markup=False, highlight=False, soft_wrap=True
    )
    return COULD_NOT_RUN


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
