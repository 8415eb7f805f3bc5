"""The embedded PostgreSQL, for real: as root and as anybody, on long paths, after a kill."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from services.cli.failure import Failure
from services.cli.folder import DataFolder
from services.cli.postgres import Cluster, new_password
from services.cli.programs import Running, start
from tests.unit.cli.processes import gone

_PASSWORD = "0123abcd"
Serving = Callable[[Path], AbstractAsyncContextManager[tuple[Cluster, Running]]]

_KILLED_STARTER = """
import asyncio, os, sys
from pathlib import Path
from services.cli.folder import DataFolder
from services.cli.postgres import Cluster
from services.cli.programs import start

async def main():
    folder = DataFolder.prepare(Path(sys.argv[1]))
    cluster = Cluster.at(folder.postgres, sys.argv[2])
    await cluster.prepare(folder.log("postgres"))
    running = await start(cluster.program(folder.log("postgres")))
    print(running.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Cluster, Running]]:
    """A server on a data folder, stopped at the end."""
    folder = DataFolder.prepare(path)
    cluster = Cluster.at(folder.postgres, _PASSWORD)
    await cluster.prepare(folder.log("postgres"))
    running = await start(cluster.program(folder.log("postgres")))
    try:
        yield cluster, running
    finally:
        await running.stop()
        cluster.remove_socket_folder()


async def ask(cluster: Cluster, query: str) -> object:
    """The one value that a query answers with; None for a statement."""
    async with await psycopg.AsyncConnection.connect(cluster.admin_url, connect_timeout=5) as connection:
        cursor = await connection.execute(query)  # type: ignore[arg-type]
        row = await cursor.fetchone() if cursor.description else None
        return row[0] if row else None


async def test_data_is_there_again_after_a_clean_stop(tmp_path: Path) -> None:
    """The folder is made once and used again."""
    async with serving(tmp_path) as (cluster, _):
        await ask(cluster, "CREATE TABLE kept AS SELECT 7 AS n")
    async with serving(tmp_path) as (cluster, _):
        assert await ask(cluster, "SELECT n FROM kept") == 7


async def test_the_server_is_never_root_and_listens_on_no_port(tmp_path: Path) -> None:
    """Only who may enter the socket's folder can even try a password."""
    async with serving(tmp_path) as (cluster, running):
        assert 0 not in psutil.Process(running.pid).uids()
        assert await ask(cluster, "SHOW listen_addresses") == ""
        assert cluster.socket_folder.stat().st_mode & 0o077 == 0


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    """The socket alone is not enough."""
    async with serving(tmp_path) as (cluster, _):
        stranger = Cluster.at(cluster.folder, new_password())
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await ask(stranger, "SELECT 1")


async def test_a_path_too_long_for_a_socket_works_and_leaves_nothing_elsewhere(tmp_path: Path) -> None:
    """A socket's path is limited to some 107 bytes; a data folder's is not."""
    async with serving(tmp_path / ("long" * 40)) as (cluster, _):
        assert await ask(cluster, "SELECT 1") == 1
        assert tmp_path not in cluster.socket_folder.parents
    assert not cluster.socket_folder.exists()


async def test_two_systems_run_side_by_side(tmp_path: Path) -> None:
    """Nothing is shared: no port, no socket, no data."""
    async with serving(tmp_path / "a") as (first, _), serving(tmp_path / "b") as (second, _):
        await ask(first, "CREATE TABLE mine ()")
        assert await ask(second, "SELECT to_regclass('mine')") is None


async def test_a_killed_server_recovers(tmp_path: Path) -> None:
    """What was committed is there; the lock file of the dead server is no obstacle."""
    async with serving(tmp_path) as (cluster, running):
        await ask(cluster, "CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(running.pid, signal.SIGKILL)
        await running.process.wait()
    async with serving(tmp_path) as (cluster, _):
        assert await ask(cluster, "SELECT n FROM kept") == 7


async def test_the_server_of_a_killed_starter_ends_and_makes_room(tmp_path: Path) -> None:
    """No orphan is left, and the next start works at once."""
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED_STARTER, str(tmp_path), _PASSWORD, stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await starter.stdout.readline())
    starter.kill()
    await starter.wait()
    async with serving(tmp_path) as (cluster, _):
        assert await ask(cluster, "SELECT 1") == 1
    await gone(pid)


async def test_a_pid_file_whose_number_was_given_to_another_process_is_no_obstacle(tmp_path: Path) -> None:
    """After a reboot the number may be anybody's; nobody's process is touched."""
    async with serving(tmp_path) as (cluster, _):
        pass
    bystander = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    lines = [
        str(bystander.pid),
        str(cluster.data),
        "1",
        "5432",
        str(cluster.socket_folder),
        "",
        "1 1",
        "ready",
    ]
    (cluster.data / "postmaster.pid").write_text("\n".join(lines))
    async with serving(tmp_path) as (cluster, _):
        assert await ask(cluster, "SELECT 1") == 1
    assert bystander.returncode is None
    await bystander.communicate(b"")


async def test_a_broken_first_attempt_is_made_anew(tmp_path: Path) -> None:
    """A machine that went down in the middle of initdb."""
    half = DataFolder.prepare(tmp_path).postgres / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    async with serving(tmp_path) as (cluster, _):
        assert await ask(cluster, "SELECT 1") == 1
    assert not half.exists()


async def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """PostgreSQL cannot read it; the message says what to do."""
    folder = DataFolder.prepare(tmp_path)
    (folder.postgres / "data").mkdir(parents=True)
    (folder.postgres / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(Failure, match="made by PostgreSQL 15"):
        await Cluster.at(folder.postgres, _PASSWORD).prepare(folder.log("postgres"))


async def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A name that can be guessed in a folder that all may write to."""
    folder = DataFolder.prepare(tmp_path)
    cluster = Cluster.at(folder.postgres, _PASSWORD)
    folder.postgres.mkdir()
    cluster.socket_folder.symlink_to(tmp_path)
    with pytest.raises(Failure, match="belongs to somebody else"):
        cluster.make_socket_folder()
