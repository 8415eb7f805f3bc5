"""A PostgreSQL with both services' databases, migrated, for tests of real adapters and real services.

Run as `python -m tests.postgres FOLDER`, it prints the URLs as one line of JSON and serves until its
standard input ends, so that it needs no event loop of the tests and cannot outlive them.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from services.cli.folder import DataFolder
from services.cli.plan import Plan
from services.cli.postgres import Cluster
from services.cli.programs import run, start
from services.cli.provisioning import Credentials, Database, provision
from services.cli.system import together

_STOP_S = 30


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the databases are. Each has an owner's URL and the app role's URL."""

    admin_url: str
    auth: Database
    mail: Database


@contextlib.contextmanager
def databases_in(folder: Path) -> Iterator[Databases]:
    """Serve both databases, migrated, while the block runs. Raises RuntimeError when that fails."""
    command = [sys.executable, "-m", "tests.postgres", str(folder)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        line = holder.stdout.readline()
        if not line:
            raise RuntimeError(f"no database for the tests; see {folder}/logs")
        urls = json.loads(line)
        yield Databases(urls["admin_url"], Database(**urls["auth"]), Database(**urls["mail"]))
        holder.communicate("", timeout=_STOP_S)


async def _serve(folder: DataFolder) -> None:
    credentials = Credentials(folder.secrets / "database.json")
    cluster = Cluster.at(folder.postgres, credentials.passwords()["postgres"])
    await cluster.prepare(folder.log("postgres"))
    server = await start(cluster.program(folder.log("postgres")))
    try:
        databases = await provision(cluster.admin_url, credentials)
        plan = Plan(folder, dict(os.environ))
        await together(
            run(plan.migration("auth", databases["auth"])),
            run(plan.migration("mail_core", databases["mail"])),
        )
        urls = {name: asdict(database) for name, database in databases.items()}
        sys.stdout.write(json.dumps({"admin_url": cluster.admin_url} | urls) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await server.stop()
        cluster.remove_socket_folder()


if __name__ == "__main__":
    asyncio.run(_serve(DataFolder.prepare(Path(sys.argv[1]))))
