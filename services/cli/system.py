"""Brings a whole system up in the right order, and down again."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import aiohttp

from services.cli.admin import Operator, PersonalAgentFiles
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.cli.failure import Failure
from services.cli.plan import EDGES, STOP_ORDER, Plan
from services.cli.ports import reserved
from services.cli.postgres import Cluster
from services.cli.printed_key import make_printed_key
from services.cli.programs import run
from services.cli.provisioning import Credentials, Database, provision
from services.cli.supervisor import Observer, Supervisor
from services.common.lifecycle import write_atomically
from services.common.tls import TlsFiles

T = TypeVar("T")
_RENEWAL_S: Final = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running system is to be found. URLs for people, `host:port` for gRPC."""

    rest: str
    mcp: str
    a2a: str
    a2a_grpc: str
    oauth: str
    auth: str
    mail_core: str
    sandbox: str
    senders: str


class Progress(Observer, Protocol):
    """Hears how far the start has come, and later what happens to processes."""

    def step(self, what: str) -> None:
        """Something begins."""


@dataclass(slots=True)
class System:
    """One system: use `start`, then `supervisor.broken()` beside whatever ends it, then always `stop`."""

    plan: Plan
    progress: Progress
    api_key: str = field(default="", repr=False)
    endpoints: Endpoints | None = None
    supervisor: Supervisor = field(init=False)
    _cluster: Cluster | None = None
    _lock: int | None = None

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.progress)

    async def start(self) -> Endpoints:
        """Start everything. Raises Failure; call `stop` after that too."""
        with reserved(self.plan.ports) as ports:
            self.plan = replace(self.plan, ports=ports)
            return await self._start()

    async def _start(self) -> Endpoints:
        folder = self.plan.folder
        self._lock = folder.lock()
        folder.rotate_logs()
        self.progress.step("certificates")
        ensure_certificates(folder.certificates, utc_now())
        databases, google = await self._databases_and_sandbox()
        auth, mail_core = await self._backends(databases, google.get("google", ""))
        operator = operator_of(folder.certificates, auth, mail_core)
        self.api_key = await make_printed_key(operator)
        if google:
            await self._import_sandbox_mailbox(google["google"], operator)
        self.endpoints = await self._edges(auth, mail_core, google)
        self.describe()
        return self.endpoints

    async def stop(self) -> None:
        """Stop everything that was started: edges, backends, sandbox, PostgreSQL."""
        await self.supervisor.stop(STOP_ORDER)
        if self._cluster:
            self._cluster.remove_socket_folder()
        if self._lock is not None:
            self.plan.folder.system_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def describe(self) -> None:
        """Write where the system is, for the other commands. Called again when a process id changes."""
        if self.endpoints:
            content = asdict(self.endpoints) | {"pids": dict(self.supervisor.pids), "pid": os.getpid()}
            write_atomically(self.plan.folder.system_file, json.dumps(content, indent=1), mode=0o600)

    async def renew_certificates(self) -> None:
        """Renew what comes close to its end, for as long as the system runs; peers read the files anew."""
        while True:
            await asyncio.sleep(_RENEWAL_S)
            ensure_certificates(self.plan.folder.certificates, utc_now())

    def operator(self) -> Operator:
        """Ask the running system for what only an operator may. Raises Failure before it runs."""
        if self.endpoints is None:
            raise Failure("the system is not running")
        return operator_of(self.plan.folder.certificates, self.endpoints.auth, self.endpoints.mail_core)

    async def _databases_and_sandbox(self) -> tuple[Mapping[str, Database], Mapping[str, str]]:
        async with failing_plainly(), asyncio.TaskGroup() as group:
            databases = group.create_task(self._databases())
            sandbox = group.create_task(self._sandbox())
        return databases.result(), sandbox.result()

    async def _databases(self) -> Mapping[str, Database]:
        credentials = Credentials(self.plan.folder.secrets / "database.json")
        admin_url = self.plan.database_url or await self._postgres(credentials)
        self.progress.step("databases")
        databases = await provision(admin_url, credentials)
        await together(
            run(self.plan.migration("auth", databases["auth"])),
            run(self.plan.migration("mail_core", databases["mail"])),
        )
        return databases

    async def _postgres(self, credentials: Credentials) -> str:
        self.progress.step("PostgreSQL")
        cluster = Cluster.at(self.plan.folder.postgres, credentials.passwords()["postgres"])
        log = self.plan.folder.log("postgres")
        await cluster.prepare(log)
        self._cluster = cluster
        await self.supervisor.add(cluster.program(log), cluster.make_socket_folder)
        return cluster.admin_url

    async def _sandbox(self) -> Mapping[str, str]:
        if not self.plan.has_sandbox:
            return {}
        self.progress.step("sandbox")
        return await self.supervisor.add(self.plan.sandbox())

    async def _backends(self, databases: Mapping[str, Database], google: str) -> tuple[str, str]:
        self.progress.step("auth")
        auth = (await self.supervisor.add(self.plan.auth(databases["auth"])))["grpc"]
        self.progress.step("mail_core")
        mail_core = (await self.supervisor.add(self.plan.mail_core(databases["mail"], auth, google)))["grpc"]
        return auth, mail_core

    async def _edges(self, auth: str, mail_core: str, google: Mapping[str, str]) -> Endpoints:
        self.progress.step("edges")
        starts = (self.supervisor.add(self.plan.edge(name, auth, mail_core)) for name in EDGES)
        rest, mcp, a2a = await together(*starts)
        return Endpoints(
            rest=f"http://{rest['http']}",
            mcp=mcp["mcp"],
            a2a=a2a["a2a"],
            a2a_grpc=a2a["a2a_grpc"],
            oauth=self.plan.issuer,
            auth=auth,
            mail_core=mail_core,
            sandbox=google.get("google", ""),
            senders=google.get("senders", ""),
        )

    async def _import_sandbox_mailbox(self, google: str, operator: Operator) -> None:
        self.progress.step("mailbox")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), raise_for_status=True) as session,
            session.get(f"{google}/sandbox/token") as answer,
        ):
            token = await answer.text()
        await operator.import_mailbox(PersonalAgentFiles(token))


def operator_of(certificates: CertificateFolder, auth: str, mail_core: str) -> Operator:
    """Be the operator of the system at these addresses."""
    files = certificates.environment("cli")
    cert, key, authority = (Path(files[name]) for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"))
    return Operator(auth, mail_core, TlsFiles(cert, key, authority))


async def together(*steps: Coroutine[Any, Any, T]) -> list[T]:
    """Run steps at once. The first that fails cancels the others and is raised as it is."""
    async with failing_plainly(), asyncio.TaskGroup() as group:
        tasks = [group.create_task(step) for step in steps]
    return [task.result() for task in tasks]


@contextlib.asynccontextmanager
async def failing_plainly() -> AsyncIterator[None]:
    """Raise the first failure of a task group, not the group."""
    try:
        yield
    except ExceptionGroup as group:
        failures = group.subgroup(Failure)
        if failures is None:
            raise
        raise _first(failures) from group


def _first(group: BaseExceptionGroup[Failure]) -> Failure:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
