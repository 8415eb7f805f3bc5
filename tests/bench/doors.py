"""What it costs an edge to know who is calling: beside the same handler without anybody asking."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.children import server
from tests.bench.contenders import ask
from tests.bench.measuring import Contender, Measured, Plan, Sample
from tests.system import RunningSystem

BARE: Final = "bare handler"
WARM: Final = "warm: passport at hand"
COLD: Final = "cold: credential never seen"
LIMITED: Final = "limited: 429"
_KEYS: Final = 40
"""More than there are connections, so that no two requests wait for the same passport."""


@contextlib.contextmanager
def doors(system: RunningSystem) -> Iterator[list[Contender]]:
    """Start the server behind its four doors, beside a running system."""
    keys = [_key(system) for _ in range(_KEYS)]
    certs = str(system.data_dir / "certs")
    with server("gate_server", auth=system.backends["auth"], certs=certs, keys=keys) as (url, pid):
        edge, key = {"edge": pid}, {"X-API-Key": system.api_key}
        pids = {name: system.pids[name] for name in ("auth", "postgres")}
        yield [
            Contender(BARE, f"{url}/bare", edge, key),
            Contender(WARM, f"{url}/warm", edge, key, (BARE,)),
            Contender(LIMITED, f"{url}/limited", edge, key, (BARE,)),
            Contender(COLD, f"{url}/cold", edge | pids, key, (BARE,)),
        ]


def _key(system: RunningSystem) -> str:
    return ask(system, "/v1/team/keys", b'{"label": "bench", "ttl_minutes": 60}')["secret"]


def show_doors(console: Console, measured: Sequence[Measured], plan: Plan) -> None:
    """Print rates and CPU, and both as multiples of the bare handler's."""
    bare = measured[0]
    title = (
        f"Who is calling? {plan.connections} connections, {len(bare.samples)} rounds of {plan.seconds:g} s"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("", "req/s", "p50 ms", "alone ms", "time x bare", "CPU µs", "CPU x bare"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column("by process", overflow="fold")
    for each in measured:
        cpu = each.cpu_us
        table.add_row(
            each.contender.name,
            f"{each.middle(_rate):,.0f}",
            f"{each.middle(lambda sample: sample.busy.p50_ms):.2f}",
            f"{each.middle(lambda sample: sample.alone.p50_ms):.2f}",
            f"{bare.ratio_to(each, _rate):.2f}",
            f"{sum(cpu.values()):,.0f}" if cpu else "",
            f"{each.ratio_to(bare, _cpu):.2f}" if cpu else "",
            " · ".join(f"{name} {spent:,.0f}" for name, spent in cpu.items()),
        )
    console.print(table)


def _rate(sample: Sample) -> float:
    return sample.rate


def _cpu(sample: Sample) -> float:
    return sum(sample.cpu_us.values())
