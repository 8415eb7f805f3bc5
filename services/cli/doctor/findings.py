"""What a probe finds, and to which criteria of SOC 2 (TSC 2017) each control speaks."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.cli.doctor.target import Target


class Status(StrEnum):
    """How it stands. `skipped`: the probe was not given what it needs to know."""

    PASS = "pass"  # noqa: S105  no password
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a probe found out. `evidence` is in plain words and holds no secret."""

    id: str
    status: Status
    evidence: str


@dataclass(frozen=True, slots=True)
class Result:
    """A finding in the report. `seconds`: how long it took."""

    id: str
    control: str
    status: Status
    evidence: str
    seconds: float
    criteria: tuple[str, ...]


Probe = Callable[[Target], AsyncIterator[Finding]]

CRITERIA: Final[Mapping[str, tuple[str, ...]]] = {
    "isolation": ("CC6.1", "CC6.3"),
    "limiter": ("CC6.6", "A1.1"),
    "revocation": ("CC6.2", "CC6.3"),
    "tls": ("CC6.6", "CC6.7"),
    "audit": ("CC7.2", "CC7.3"),
    "secrets": ("CC6.1", "CC6.7"),
    "egress": ("CC6.6",),
    "settings": ("CC7.1", "CC8.1"),
    "migrations": ("CC8.1", "A1.2"),
    "signing-keys": ("CC6.1",),
}
"""Criteria by control, in the order in which controls are probed."""


def judged(name: str, problems: list[str], fine: str, *, worst: Status = Status.FAIL) -> Finding:
    """Make a finding: the problems when there are some, else what is fine."""
    if problems:
        return Finding(name, worst, "; ".join(problems))
    return Finding(name, Status.PASS, fine)


def skipped(name: str, why: str) -> Finding:
    """Make the finding of a probe that could not look."""
    return Finding(name, Status.SKIPPED, why)
