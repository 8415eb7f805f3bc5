"""The benchmark itself, on two servers that need nothing else."""

import io

import pytest
from rich.console import Console

from tests.bench.children import LoadGenerator, child, server
from tests.bench.contenders import HELLO
from tests.bench.doors import show_doors
from tests.bench.measuring import Contender, Plan, measure
from tests.bench.table import show


def test_benchmark_measures_and_compares() -> None:
    """Rates, latencies and ratios come out of real requests."""
    plan = Plan(rounds=2, seconds=0.1, connections=2)
    with server("hello_server") as (hello, pid), server("fixed_server", bytes=100) as (fixed, other):
        contenders = [
            Contender(HELLO, f"{hello}/", {"aiohttp": pid}),
            Contender("fixed", f"{fixed}/", {"server": other}, against=(HELLO,)),
        ]
        with child("load") as load:
            measured = measure(contenders, plan, LoadGenerator(load), lambda _: None)
    assert all(each.middle(lambda sample: sample.rate) > 0 for each in measured)
    output = io.StringIO()
    show(Console(file=output, width=130), measured, plan)
    assert "2 rounds of 0.1 s" in output.getvalue()


def test_doors_are_shown_as_multiples_of_the_bare_handler() -> None:
    """The first contender is what the others are measured by."""
    plan = Plan(rounds=1, seconds=0.1, connections=2)
    with server("hello_server") as (hello, pid), child("load") as load:
        names = ("bare", "warm")
        contenders = [Contender(name, f"{hello}/", {"edge": pid}) for name in names]
        measured = measure(contenders, plan, LoadGenerator(load), lambda _: None)
    output = io.StringIO()
    show_doors(Console(file=output, width=130), measured, plan)
    first = next(line for line in output.getvalue().splitlines() if "bare" in line and "1.00" in line)
    assert first.count("1.00") == 2


def test_failing_requests_fail_the_benchmark() -> None:
    """Figures of refusals are worth nothing, so there are none."""
    with server("hello_server") as (hello, pid), child("load") as load:
        contender = Contender("missing", f"{hello}/missing", {"aiohttp": pid})
        with pytest.raises(RuntimeError, match="requests failed"):
            measure([contender], Plan(1, 0.1, 2), LoadGenerator(load), lambda _: None)
