"""The figures as a table that reads the same on a terminal and in a file."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.contenders import HELLO
from tests.bench.measuring import Measured, Plan, Sample


def show(console: Console, measured: Sequence[Measured], plan: Plan) -> None:
    """Print speeds, then CPU."""
    by_name = {each.contender.name: each for each in measured}
    console.print(_speeds(by_name, plan))
    if all(each.cpu_us for each in measured):
        console.print(_cpu(by_name))
    else:
        console.print("CPU per request: this system does not tell.")
    ours = max(each.middle(lambda sample: sample.busy.own_cpu_s / sample.busy.seconds) for each in measured)
    console.print(f"The load generator itself used at most {ours:.0%} of one core.")


def _speeds(measured: Mapping[str, Measured], plan: Plan) -> Table:
    rounds = min(len(each.samples) for each in measured.values())
    title = f"{plan.connections} connections, {rounds} rounds of {plan.seconds:g} s, medians"
    table = Table(title=title, title_justify="left")
    for heading in ("", "req/s", "min to max", "p50 ms", "p99 ms", "alone ms", "x hello", "x FastAPI"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, each in measured.items():
        rates = [sample.rate for sample in each.samples]
        table.add_row(
            name,
            f"{each.middle(_rate):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{each.middle(lambda sample: sample.busy.p50_ms):.2f}",
            f"{each.middle(lambda sample: sample.busy.p99_ms):.2f}",
            f"{each.middle(lambda sample: sample.alone.p50_ms):.2f}",
            *_ratios(each, measured),
        )
    return table


def _ratios(each: Measured, measured: Mapping[str, Measured]) -> tuple[str, str]:
    ratios = {other: each.ratio_to(measured[other], _rate) for other in each.contender.against}
    to_hello = ratios.pop(HELLO, None)
    to_fastapi = next(iter(ratios.values()), None)
    return _ratio(to_hello), _ratio(to_fastapi)


def _cpu(measured: Mapping[str, Measured]) -> Table:
    table = Table(title="CPU µs a request", title_justify="left")
    for heading in ("", "all", "by process"):
        table.add_column(heading, justify="right" if heading == "all" else "left")
    for name, each in measured.items():
        parts = " · ".join(f"{process} {spent:,.0f}" for process, spent in each.cpu_us.items())
        table.add_row(name, f"{sum(each.cpu_us.values()):,.0f}", parts)
    return table


def _rate(sample: Sample) -> float:
    return sample.rate


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
