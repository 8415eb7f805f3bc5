"""Runs the probes one after the other; a probe that breaks is a control that was not shown to work."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
import psycopg

from services.cli.doctor import (
    audit,
    egress,
    isolation,
    limiter,
    migrations,
    posture,
    revocation,
    secrets,
    signing_keys,
    tls,
)
from services.cli.doctor.findings import CRITERIA, Finding, Probe, Result, Status
from services.cli.doctor.target import Target
from services.cli.failure import Failure

PROBES: Final[Mapping[str, Probe]] = {
    "isolation": isolation.probe,
    "limiter": limiter.probe,
    "revocation": revocation.probe,
    "tls": tls.probe,
    "audit": audit.probe,
    "secrets": secrets.probe,
    "egress": egress.probe,
    "settings": posture.probe,
    "migrations": migrations.probe,
    "signing-keys": signing_keys.probe,
}
_PROBE_S: Final = 120.0


async def examine(target: Target, controls: list[str]) -> AsyncIterator[Result]:
    """Probe some controls; gives the results of each as it is done."""
    for control in controls:
        for finding, seconds in await _findings(control, PROBES[control](target)):
            yield Result(finding.id, control, finding.status, finding.evidence, seconds, CRITERIA[control])


async def _findings(control: str, probe: AsyncIterator[Finding]) -> list[tuple[Finding, float]]:
    found: list[tuple[Finding, float]] = []
    since = time.monotonic()

    def note(finding: Finding) -> None:
        nonlocal since
        now = time.monotonic()
        found.append((finding, round(now - since, 3)))
        since = now

    try:
        async with asyncio.timeout(_PROBE_S):
            async for finding in probe:
                note(finding)
    except TimeoutError:
        # Its own limit, or that of a call which it made.
        waited_s = time.monotonic() - since
        note(Finding(control, Status.FAIL, f"no answer: given up after {waited_s:.0f} s"))
    except Failure as failure:
        note(Finding(control, Status.FAIL, str(failure)))
    except (psycopg.Error, aiohttp.ClientError, OSError, ValueError) as error:
        # Their texts may quote addresses and rows.
        note(Finding(control, Status.FAIL, f"the probe could not be finished: {type(error).__name__}"))
    return found
