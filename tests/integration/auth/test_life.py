"""Starting, losing the database, finding it again, and leaving."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.postgres import Cluster
from services.cli.programs import Running, python, run, start
from services.cli.provisioning import Credentials, Database, provision
from services.common.errors import AppError
from tests.integration.auth.processes import RunningAuth, auth_program, running_auth
from tests.postgres import Databases

KEY = "p7Qw2-eR9tY4uI1oA6sD3fG8"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def ending(folder: Path, database_url: str, **settings: str) -> tuple[int, str]:
    """Run auth until it ends by itself; its exit code and what it said."""
    folder.mkdir(exist_ok=True)
    program = auth_program(folder, database_url, settings)
    process = await asyncio.create_subprocess_exec(
        *program.command,
        env=dict(program.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.promise("rights.configuration")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"AUTH_MODE": "jwt"}, "set AUTH_JWT_SECRET or AUTH_JWT_JWKS_URL"),
        ({"AGENT_API_KEY": "changeme-changeme-changeme"}, "AGENT_API_KEY is made of well-known words"),
        ({"MAILWARDEN_ENV": "production"}, "PASSPORT_KEY_FILE"),
    ],
)
async def test_a_bad_configuration_ends_the_process_with_words(
    tmp_path: Path, settings: Mapping[str, str], told: str
) -> None:
    """One message, no traceback, no secret; all cases are in the unit tests of the settings."""
    code, output = await ending(tmp_path, "postgresql://app:hidden@127.0.0.1:1/auth", **settings)
    assert code == 1
    assert told in output
    assert "Traceback" not in output
    assert "hidden" not in output
    assert "changeme" not in output


async def test_migrating_twice_and_at_once_is_harmless(databases: Databases, tmp_path: Path) -> None:
    """Two replicas may start together; the fixture has migrated already."""
    environment = {"DATABASE_OWNER_URL": databases.auth.owner_url}
    programs = [auth_program(tmp_path, databases.auth.app_url, environment) for _ in range(2)]
    processes = [
        await asyncio.create_subprocess_exec(
            *python("-m", "services.auth", "migrate"),
            env=dict(program.environment),
            stderr=asyncio.subprocess.DEVNULL,
        )
        for program in programs
    ]
    async with asyncio.timeout(30):
        assert [await process.wait() for process in processes] == [0, 0]


async def test_an_unknown_argument_is_told(tmp_path: Path) -> None:
    """Rather than serving by mistake."""
    program = auth_program(tmp_path, "postgresql://a@/d", {})
    process = await asyncio.create_subprocess_exec(
        *program.command, "migrat", env=dict(program.environment), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, output = await process.communicate()
    assert process.returncode == 1
    assert b"usage: python -m services.auth [migrate]" in output


@dataclass(slots=True)
class StoppablePostgres:
    """A PostgreSQL of one test alone."""

    cluster: Cluster
    log: Path
    auth: Database
    server: Running

    async def stop(self) -> None:
        await self.server.stop()

    async def start(self) -> None:
        await self.cluster.prepare(self.log)
        self.server = await start(self.cluster.program(self.log))


@contextlib.asynccontextmanager
async def own_postgres(folder: Path) -> AsyncIterator[StoppablePostgres]:
    credentials, log = Credentials(folder / "database.json"), folder / "postgres.log"
    cluster = Cluster.at(folder / "postgres", credentials.passwords()["postgres"])
    await cluster.prepare(log)
    server = await start(cluster.program(log))
    try:
        auth = (await provision(cluster.admin_url, credentials))["auth"]
        postgres = StoppablePostgres(cluster, log, auth, server)
        yield postgres
        server = postgres.server
    finally:
        await server.stop()
        cluster.remove_socket_folder()


async def health_of(auth: RunningAuth) -> AsyncIterator[int]:
    stub = health_pb2_grpc.HealthStub(auth.channel().wire())
    async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
        yield answer.status


@pytest.mark.promise("outages.heal")
async def test_health_follows_the_database_down_and_up(tmp_path: Path) -> None:
    """Unready while it is lost, typed errors meanwhile, and well again without being restarted."""
    async with own_postgres(tmp_path) as postgres:
        url = postgres.auth.app_url
        migration = auth_program(tmp_path, url, {"DATABASE_OWNER_URL": postgres.auth.owner_url})
        command = (*migration.command, "migrate")
        await run(replace(migration, command=command))
        async with running_auth(tmp_path, url, AGENT_API_KEY=KEY) as auth, asyncio.timeout(40):
            async with contextlib.aclosing(health_of(auth)) as health:
                assert await anext(health) == SERVING
                await postgres.stop()
                assert await anext(health) == NOT_SERVING
                with pytest.raises(AppError, match="DATABASE_DOWN"):
                    await auth.issue(bearer=KEY)
                await postgres.start()
                assert await anext(health) == SERVING
            assert (await auth.issue(bearer=KEY)).caller.key_id.startswith("env:")


@pytest.mark.promise("stopping.clean")
async def test_sigterm_ends_it_cleanly(databases: Databases, tmp_path: Path) -> None:
    """Unready first, then gone with exit code 0, well within the drain."""
    async with running_auth(tmp_path, databases.auth.app_url, AGENT_API_KEY=KEY) as auth, asyncio.timeout(10):
        async with contextlib.aclosing(health_of(auth)) as health:
            assert await anext(health) == SERVING
            os.kill(auth.running.pid, signal.SIGTERM)
            assert await anext(health) == NOT_SERVING
        assert await auth.running.process.wait() == 0


async def test_a_restart_keeps_passports_good(databases: Databases, tmp_path: Path) -> None:
    """The key stays in its file, so nobody is logged out by a deployment."""
    async with running_auth(tmp_path, databases.auth.app_url, AGENT_API_KEY=KEY) as auth:
        passport = await auth.issue(bearer=KEY, audience="auth")
    (tmp_path / "auth.json").unlink()
    async with running_auth(tmp_path, databases.auth.app_url, AGENT_API_KEY=KEY) as auth:
        assert (await auth.me(passport.token)).key_id == passport.caller.key_id


@pytest.mark.promise("rights.rotation")
async def test_a_rotation_keeps_passports_of_the_key_before(databases: Databases, tmp_path: Path) -> None:
    """A new key signs, the old one is still believed."""
    old = str(tmp_path / "passport.pem")
    async with running_auth(tmp_path, databases.auth.app_url, AGENT_API_KEY=KEY) as auth:
        passport = await auth.issue(bearer=KEY, audience="auth")
    rotated = {"PASSPORT_KEY_FILE": str(tmp_path / "new.pem"), "PASSPORT_KEY_PREVIOUS_FILE": old}
    async with running_auth(tmp_path, databases.auth.app_url, AGENT_API_KEY=KEY, **rotated) as auth:
        assert (await auth.me(passport.token)).key_id == passport.caller.key_id
        assert (await auth.me((await auth.issue(bearer=KEY, audience="auth")).token)).key_id
