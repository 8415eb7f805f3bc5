"""Starts a system of its own for the demo, tells the story, takes everything away again."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

from protos.auth.v1 import auth_pb2
from services.cli.demo import report
from services.cli.demo.memory import memory_mb
from services.cli.demo.rest import Rest
from services.cli.demo.rights import Rights
from services.cli.demo.sandbox import Sandbox
from services.cli.demo.story import Story
from services.cli.demo.traces import TraceReceiver
from services.cli.folder import DataFolder
from services.cli.plan import Plan
from services.cli.ports import Ports
from services.cli.settings import inherited_environment
from services.cli.system import Endpoints, System
from services.cli.up import first_of, running, stop_on_signals
from services.cli.welcome import Announcer

_ANY_PORTS: Final = Ports(0, 0, 0, 0, 0)
_QUOTA_UNITS_PER_MINUTE: Final = "300000"
_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"})
_INTERRUPTED: Final = 130


async def demo(corpus: Path | None, console: Console) -> int:
    """Run the demo and answer with the exit code. Raises Failure when a part does not do what it should."""
    started, stop, receiver = time.monotonic(), stop_on_signals(), TraceReceiver()
    announcer = Announcer(console)
    with tempfile.TemporaryDirectory(prefix="mailwarden-demo-") as folder:
        plan = Plan(
            folder=DataFolder.prepare(Path(folder)),
            inherited=_environment(await receiver.start()),
            ports=_ANY_PORTS,
            corpus=corpus,
        )
        system = System(plan, announcer)
        try:
            async with running(system, stop) as endpoints:
                announcer.end()
                if endpoints is not None:
                    _introduce(console, corpus, time.monotonic() - started)
                    told = _tell(console, system, endpoints, receiver)
                    await first_of(told, stop.wait(), system.supervisor.broken())
        finally:
            announcer.end()
            await receiver.stop()
    if stop.is_set():
        return _INTERRUPTED
    seconds = time.monotonic() - started
    console.print(f"\n[bold green]Done[/] in {seconds:.0f} s; nothing is left running.", highlight=False)
    return 0


def _environment(otlp_endpoint: str) -> Mapping[str, str]:
    """Settings of the demo's services: what a shell happens to hold must not change the story."""
    kept = {name: value for name, value in inherited_environment().items() if name in _KEPT}
    return kept | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_endpoint,
        "TRACE_SAMPLE_RATIO": "1",
        "MCP_ENABLE_MUTATION_TOOLS": "true",
        "GMAIL_QUOTA_UNITS_PER_MINUTE": _QUOTA_UNITS_PER_MINUTE,
        "SANDBOX_QUOTA_UNITS_PER_MINUTE": _QUOTA_UNITS_PER_MINUTE,
    }


def _introduce(console: Console, corpus: Path | None, seconds: float) -> None:
    mail = f"the mail of {corpus}" if corpus else "made-up mail"
    console.print(
        f"[bold]Mailwarden[/]: five services, PostgreSQL and a local Google with {mail}, started in"
        f" {seconds:.1f} s, with mutual TLS between them. Nothing leaves this machine.\n"
        f"[dim]The local Google grants {int(_QUOTA_UNITS_PER_MINUTE):,} quota units a minute, so that a scan"
        " need not wait. The real one is read at the pace that it documents.[/]",
        highlight=False,
    )


async def _tell(console: Console, system: System, endpoints: Endpoints, receiver: TraceReceiver) -> None:
    idle = memory_mb(system.supervisor.pids)
    key = system.api_key
    async with Rest.open(endpoints.rest, key) as rest, aiohttp.ClientSession() as session:
        sandbox = Sandbox(endpoints.sandbox, session)
        story = Story(console, endpoints, key, rest, sandbox, is_real_mail=system.plan.corpus is not None)
        await story.scan()
        await story.lists()
        await story.unsubscribe()
        await story.calendar()
        await story.agents()
        another = await system.operator().create_key(
            auth_pb2.CreateApiKeyRequest(
                label="demo, read only", restrictions=auth_pb2.Restrictions(read_only=True)
            )
        )
        await story.trace(receiver, another.secret)
        await Rights(console, rest, system.operator()).tell(7)
    report.heading(console, 8, "Memory")
    console.print(report.memory_table(idle, memory_mb(system.supervisor.pids)))
