"""Rounds of measurement, interleaved, so that what the machine does besides hits all contenders alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import psutil

from tests.bench.children import LoadGenerator
from tests.bench.load import Order, Result

ALONE_SHARE: Final = 0.4
"""Of each measurement's time, how much goes to one connection by itself, for the latency without a queue."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing to measure. `processes` name what serves it; `against` what it is compared with."""

    name: str
    url: str
    processes: Mapping[str, int]
    headers: Mapping[str, str] = field(default_factory=dict)
    against: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender in one round. CPU is in µs a request by process; empty where it cannot be known."""

    busy: Result
    alone: Result
    cpu_us: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.busy.requests / self.busy.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one contender. Every figure is the median of the rounds."""

    contender: Contender
    samples: Sequence[Sample]

    def middle(self, figure: Callable[[Sample], float]) -> float:
        """The median of a figure."""
        return median(figure(sample) for sample in self.samples)

    def ratio_to(self, other: "Measured", figure: Callable[[Sample], float]) -> float:
        """The median of the rounds' ratios: two neighbours in time suffered the same noise."""
        pairs = zip(self.samples, other.samples, strict=True)
        return median(figure(ours) / figure(theirs) for ours, theirs in pairs)

    @property
    def cpu_us(self) -> Mapping[str, float]:
        """CPU µs a request by process."""
        known = [sample.cpu_us for sample in self.samples if sample.cpu_us]
        return {name: median(each[name] for each in known) for name in (known[0] if known else ())}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. No round begins after `budget_s`, however slow the machine is today."""

    rounds: int
    seconds: float
    connections: int
    budget_s: float = 60.0


def measure(
    contenders: Sequence[Contender], plan: Plan, load: LoadGenerator, tell: Callable[[str], None]
) -> list[Measured]:
    """Measure everybody in every round, each round beginning with another one.

    Raises RuntimeError when a request fails: figures of failures are worth nothing.
    """
    end = time.monotonic() + plan.budget_s
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        _run(contender, load, plan.connections, plan.seconds / 2)
    for number in range(plan.rounds):
        if number and time.monotonic() > end:
            break
        tell(f"round {number + 1} of {plan.rounds}")
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            samples[contender.name].append(_sample(contender, load, plan))
    return [Measured(contender, samples[contender.name]) for contender in contenders]


def _sample(contender: Contender, load: LoadGenerator, plan: Plan) -> Sample:
    alone = _run(contender, load, 1, plan.seconds * ALONE_SHARE)
    before = {name: _cpu_s(pid) for name, pid in contender.processes.items()}
    busy = _run(contender, load, plan.connections, plan.seconds)
    after = {name: _cpu_s(pid) for name, pid in contender.processes.items()}
    return Sample(busy, alone, _per_request(before, after, busy.requests))


def _run(contender: Contender, load: LoadGenerator, connections: int, seconds: float) -> Result:
    result = load.run(Order(contender.url, dict(contender.headers), connections, seconds))
    if result.failed or not result.requests:
        raise RuntimeError(f"{contender.name}: {result.failed} of {result.requests} requests failed")
    return result


def _per_request(
    before: Mapping[str, float | None], after: Mapping[str, float | None], requests: int
) -> Mapping[str, float]:
    spent: dict[str, float] = {}
    for name, start in before.items():
        end = after[name]
        if start is None or end is None:
            return {}
        spent[name] = (end - start) / requests * 1e6
    return spent


def _cpu_s(pid: int) -> float | None:
    """CPU seconds of a process and its children so far; None where the system does not tell."""
    try:
        process = psutil.Process(pid)
        family: list[Any] = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:2]) for member in family)
    except (psutil.Error, OSError, NotImplementedError):
        return None
