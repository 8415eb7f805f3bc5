"""Who is measured: the two reads of Mailwarden, and what they are compared with."""

import contextlib
import hashlib
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from services.cli.folder import DataFolder
from services.cli.postgres import Cluster
from services.cli.provisioning import Credentials, with_role
from tests.bench.children import server
from tests.bench.measuring import Contender
from tests.system import RunningSystem

ME: Final = "/v1/me"
LIST: Final = "/v1/mailboxes/me/subscriptions?page_size=20"
CEILING: Final = "fixed bytes (ceiling of the load generator)"
HELLO: Final = "aiohttp hello"
FASTAPI_ME: Final = "FastAPI, one process: GET /v1/me"
FASTAPI_LIST: Final = "FastAPI, one process: list"
OUR_ME: Final = "Mailwarden: GET /v1/me"
OUR_LIST: Final = "Mailwarden: list"
_SCAN_S: Final = 60.0
_POLL_S: Final = 0.1


@contextlib.contextmanager
def contenders(system: RunningSystem) -> Iterator[list[Contender]]:
    """Start all servers beside a running system whose mailbox has been scanned.

    Raises RuntimeError when FastAPI's answers are not Mailwarden's: then they do not do the same.
    """
    key, pids = {"X-API-Key": system.api_key}, system.pids
    me = ask(system, ME)
    with ExitStack() as stack:
        fixed, fixed_pid = stack.enter_context(server("fixed_server", bytes=len(json.dumps(me))))
        hello, hello_pid = stack.enter_context(server("hello_server"))
        digest = hashlib.sha256(system.api_key.encode()).hexdigest()
        fastapi, fastapi_pid = stack.enter_context(
            server(
                "fastapi_server", database_url=_mail_database(system), key_digest=digest, caller=me["caller"]
            )
        )
        for path in (ME, LIST):
            _require_same(ask(system, path), _get(fastapi + path, key))
        monolith, postgres = {"fastapi": fastapi_pid}, {"postgres": pids["postgres"]}
        rest, auth, core = ({name: pids[name]} for name in ("edge_rest", "auth", "mail_core"))
        yield [
            Contender(CEILING, f"{fixed}/", {"server": fixed_pid}),
            Contender(HELLO, f"{hello}/", {"aiohttp": hello_pid}),
            Contender(FASTAPI_ME, fastapi + ME, monolith, key, (HELLO,)),
            Contender(OUR_ME, system.rest + ME, rest | auth | postgres, key, (HELLO, FASTAPI_ME)),
            Contender(FASTAPI_LIST, fastapi + LIST, monolith | postgres, key, (HELLO,)),
            Contender(OUR_LIST, system.rest + LIST, rest | core | postgres, key, (HELLO, FASTAPI_LIST)),
        ]


def scan(system: RunningSystem) -> None:
    """Read the sandbox's mailbox, so that there is something to list. Raises TimeoutError."""
    operation = ask(system, "/v1/mailboxes/me/scans", b"{}")
    end = time.monotonic() + _SCAN_S
    while operation["state"] in {"queued", "running"} and time.monotonic() < end:
        time.sleep(_POLL_S)
        operation = ask(system, f"/v1/operations/{operation['id']}")
    if operation["state"] != "succeeded":
        raise TimeoutError(f"the sandbox's mailbox could not be read: {operation}")


def ask(system: RunningSystem, path: str, body: bytes | None = None) -> Any:
    """Ask the REST edge; with a body, by POST."""
    headers = {"X-API-Key": system.api_key, "Content-Type": "application/json"}
    return _get(system.rest + path, headers, body)


def _get(url: str, headers: dict[str, str], body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return json.loads(answer.read())


def _require_same(ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise RuntimeError(f"the answers differ:\n  Mailwarden {ours}\n  FastAPI    {theirs}")


def _mail_database(system: RunningSystem) -> str:
    folder = DataFolder(system.data_dir)
    passwords = Credentials(folder.secrets / "database.json").passwords()
    admin_url = Cluster.at(folder.postgres, passwords["postgres"]).admin_url
    role = "mailwarden_mail_app"
    return with_role(admin_url, role, passwords[role], "mailwarden_mail")
