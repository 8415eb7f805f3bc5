"""`make bench`: what a request costs through Mailwarden's hops, beside a bare server and a monolith.

Says how fast; judges nothing, because absolute times say more about the machine than about the code.
"""

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench.children import LoadGenerator, child
from tests.bench.contenders import contenders, scan
from tests.bench.doors import doors, show_doors
from tests.bench.measuring import Plan, measure
from tests.bench.table import show
from tests.system import running_system

_NO_LIMIT = "10000000"
_COLUMNS = 130


def main() -> None:
    """Start everything, measure, print."""
    options = _parser().parse_args()
    if options.one_cpu:
        # Children inherit it: what is then measured is CPU alone, whatever the neighbours do.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    console = Console()
    if not console.is_terminal:
        console = Console(width=_COLUMNS)
    plan = Plan(options.rounds, options.seconds, options.connections)
    with tempfile.TemporaryDirectory(prefix="mailwarden-bench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another account
        _run(Path(folder), plan, console)


def _run(folder: Path, plan: Plan, console: Console) -> None:
    with (
        console.status("starting the system") as status,
        running_system(folder, RATE_LIMIT_PER_MINUTE=_NO_LIMIT) as system,
    ):
        status.update("reading the sandbox's mailbox")
        scan(system)
        with contenders(system) as all_of_them, child("load") as load:
            measured = measure(all_of_them, plan, LoadGenerator(load), status.update)
        status.update("asking who is calling")
        with doors(system) as four, child("load") as load:
            asked = measure(four, plan, LoadGenerator(load), status.update)
    show(console, measured, plan)
    show_doors(console, asked, plan)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of each measurement; default: %(default)s"
    )
    parser.add_argument("--connections", type=int, default=32, help="default: %(default)s")
    if hasattr(os, "sched_setaffinity"):
        parser.add_argument("--one-cpu", action="store_true", help="everything on one processor")
    else:
        parser.set_defaults(one_cpu=False)
    return parser


if __name__ == "__main__":
    main()
