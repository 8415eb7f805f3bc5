"""A replica of a running system's auth that also is an authorization server, and a browser to use it with."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import MISSING, fields
from pathlib import Path

import aiohttp

from services.cli.certificates import CertificateFolder
from services.cli.folder import DataFolder
from services.cli.postgres import Cluster
from services.cli.programs import Program, announced_in, python, start
from services.cli.provisioning import Credentials, with_role
from tests.integration.auth.oauth.world import OTHER_RESOURCE, RESOURCE, World
from tests.system import ROOT, RunningSystem

_ROLE = "mailwarden_auth_app"


def auth_database_url(system: RunningSystem) -> str:
    """Where auth of a running system keeps its rows, in the role that it works as."""
    folder = DataFolder.prepare(system.data_dir)
    passwords = Credentials(folder.secrets / "database.json").passwords()
    admin = Cluster.at(folder.postgres, passwords["postgres"]).admin_url
    return with_role(admin, _ROLE, passwords[_ROLE], "mailwarden_auth")


@contextlib.asynccontextmanager
async def authorizing(system: RunningSystem, folder: Path) -> AsyncIterator[World]:
    """Run the replica while the block does; the same keys, teams and passports, its own listeners."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issuer, ready_file = f"http://127.0.0.1:{port}", folder / "authorization.json"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **CertificateFolder(system.data_dir / "certs").environment("auth"),
        "LISTEN": "127.0.0.1:0",
        "DATABASE_URL": auth_database_url(system),
        "PASSPORT_KEY_FILE": str(system.data_dir / "secrets" / "passport.pem"),
        "READY_FILE": str(ready_file),
        "OAUTH_LISTEN": f"127.0.0.1:{port}",
        "OAUTH_ISSUER": issuer,
        "OAUTH_RESOURCES": f"{RESOURCE},{OTHER_RESOURCE}",
        "OAUTH_KEY_FILE": str(folder / "oauth.pem"),
        "RATE_LIMIT_ADDRESS_PER_MINUTE": "100000",
        "RATE_LIMIT_FAILURES_PER_MINUTE": "100000",
        "DRAIN_S": "1",
    }
    program = Program(
        name="auth",
        command=python("-m", "services.auth"),
        environment=environment,
        log=folder / "authorization.log",
        probe=announced_in(ready_file),
    )
    running = await start(program)
    try:
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=30)
        ) as session:
            # What a browser does needs an address and a session; the rest of it is another process's.
            none = {field.name: None for field in fields(World) if field.default_factory is MISSING}
            reached = {"issuer": issuer, "admin_url": running.addresses["grpc"], "session": session}
            yield World(**{**none, **reached})  # type: ignore[arg-type]
    finally:
        await running.stop()
