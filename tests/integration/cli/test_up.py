"""`mailwarden up` as a person and as another program meet it."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.cli.test_postgres import serving
from tests.system import ROOT, RunningSystem, running_system
from tests.unit.cli.processes import gone

SERVICES = {"postgres", "sandbox", "auth", "mail_core", "edge_rest", "edge_mcp", "edge_a2a"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system for the tests of this file, which kill parts of it."""
    with running_system(tmp_path_factory.mktemp("own")) as running:
        yield running


def mailwarden(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "HOME": str(Path.home())} | environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def me(system: RunningSystem, key: str) -> tuple[int, Any]:
    """Ask the REST edge who a key is."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.get(f"{system.rest}/v1/me", headers={"X-API-Key": key}) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.promise("story.up")
def test_the_ready_file_says_all_and_only_to_its_owner(own: RunningSystem) -> None:
    """Another program starts with this file and nothing else; it holds a key."""
    content = json.loads(own.ready_file.read_text())
    assert {"rest", "mcp", "a2a", "a2a_grpc", "oauth", "api_key", "pids"} <= content.keys()
    assert content["mcp"].endswith("/mcp")
    assert content["pids"].keys() == SERVICES
    assert stat.S_IMODE(own.ready_file.stat().st_mode) == 0o600


async def test_the_printed_key_works_and_may_do_everything(own: RunningSystem) -> None:
    """The examples on the screen are meant to be pasted."""
    status, content = await me(own, own.api_key)
    assert status == 200
    assert "unsubscribe:execute" in content["caller"]["scopes"]


async def test_the_sandboxs_mailbox_is_connected(own: RunningSystem) -> None:
    """Nothing has to be set up before the first scan."""
    headers = {"X-API-Key": own.api_key}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{own.rest}/v1/mailboxes") as answer,
    ):
        mailboxes = (await answer.json())["mailboxes"]
    assert [mailbox["email_address"] for mailbox in mailboxes] == ["camille.moreau@sandbox.example"]


async def test_a_key_made_on_the_side_has_only_what_was_asked_for(own: RunningSystem) -> None:
    """`mailwarden keys create` finds the running system by its folder, and prints the secret alone."""
    made = mailwarden(
        "keys", "create", "--label", "reader", "--scope", "unsubscribe:read", "--read-only",
        "--data-dir", str(own.data_dir),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    status, content = await me(own, made.stdout.strip())
    assert status == 200
    assert content["caller"]["scopes"] == ["unsubscribe:read"]
    assert content["caller"]["restrictions"]["read_only"]


def test_a_scope_that_does_not_exist_is_told_plainly(own: RunningSystem) -> None:
    """The backend's own words and reason, no traceback."""
    made = mailwarden(
        "keys", "create", "--label", "x", "--scope", "mail:destroy", "--data-dir", str(own.data_dir)
    )
    assert made.returncode == 1
    assert "SCOPE_UNKNOWN" in made.stderr
    assert "Traceback" not in made.stderr


def test_a_running_system_is_found_by_its_addresses_too(own: RunningSystem) -> None:
    """As an operator of a remote system does it."""
    certificates = own.data_dir / "certs"
    remote = {
        "AUTH_ADDRESS": own.backends["auth"],
        "MAIL_CORE_ADDRESS": own.backends["mail_core"],
        "TLS_CERT_FILE": str(certificates / "cli.pem"),
        "TLS_KEY_FILE": str(certificates / "cli.key"),
        "TLS_CA_FILE": str(certificates / "ca.pem"),
    }
    made = mailwarden("keys", "create", "--label", "remote", "--data-dir", "/nowhere", **remote)
    assert made.returncode == 0, made.stderr


@pytest.mark.promise("story.move")
async def test_a_mailbox_comes_with_the_personal_agents_files(own: RunningSystem, tmp_path: Path) -> None:
    """One command moves a personal agent over; the same account again is told as such."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{own.sandbox}/sandbox/token") as answer,
    ):
        (tmp_path / "token.json").write_text(await answer.text())
    done = mailwarden(
        "mailbox", "import", "--token-file", str(tmp_path / "token.json"), "--data-dir", str(own.data_dir)
    )
    assert done.returncode == 0, done.stderr
    assert "camille.moreau@sandbox.example connected again" in done.stdout


def test_a_second_system_in_the_folder_is_refused(own: RunningSystem) -> None:
    """Before anything of the first is touched."""
    refused = mailwarden("up", *any_ports(), "--data-dir", str(own.data_dir))
    assert refused.returncode == 1
    assert f"in use by process {own.process.pid}" in refused.stderr


@pytest.mark.promise("outages.heal")
@pytest.mark.parametrize("service", ["mail_core", "edge_rest", "auth", "postgres"])
async def test_a_killed_process_comes_back_and_the_system_works_again(
    own: RunningSystem, service: str
) -> None:
    """On the same port, with a new pid in the ready file, without anybody's help."""
    returned = await asyncio.to_thread(own.await_return, service, own.kill(service))
    assert returned == own.pids[service]
    async with asyncio.timeout(30):
        while (await me(own, own.api_key))[0] != 200:
            await asyncio.sleep(0.2)


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    """With the option that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = mailwarden("up", *any_ports(), "--a2a-port", port, "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert f"port {port} cannot be used" in refused.stderr
    assert "--a2a-port" in refused.stderr
    assert not (tmp_path / "certs").exists()


def test_a_service_that_refuses_its_settings_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    """A half-configured mode is the person's to repair."""
    refused = mailwarden("up", *any_ports(), "--data-dir", str(tmp_path), AUTH_MODE="jwt")
    assert refused.returncode == 1
    assert "auth ended at start" in refused.stderr
    assert "AUTH_JWT_SECRET" in refused.stderr


@pytest.mark.promise("story.up", "stopping.clean")
async def test_a_stopped_system_leaves_nothing_behind(tmp_path: Path) -> None:
    """Exit 0, no process, no ready file that says what is no longer true."""
    with running_system(tmp_path) as system:
        pids = system.pids
        system.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(system.process.wait, 30) == 0
        assert not system.ready_file.exists()
    for pid in pids.values():
        await gone(pid)


async def test_no_process_outlives_a_killed_system(tmp_path: Path) -> None:
    """kill -9 of `mailwarden up` itself; the next start in the same folder works."""
    with running_system(tmp_path) as system:
        pids = system.pids
        system.process.kill()
        await asyncio.to_thread(system.process.wait, 10)
        for pid in pids.values():
            await gone(pid)
    with running_system(tmp_path) as system:
        assert (await me(system, system.api_key))[0] == 200


async def test_an_external_database_and_the_real_google_need_no_process_of_ours(tmp_path: Path) -> None:
    """`DATABASE_URL` names an administrator; nothing that belongs to the sandbox is started."""
    async with serving(tmp_path / "external") as (cluster, _):
        starting = running_system(tmp_path, "--no-sandbox", DATABASE_URL=cluster.admin_url)
        system = await asyncio.to_thread(starting.__enter__)
        try:
            assert system.pids.keys() == SERVICES - {"postgres", "sandbox"}
            assert system.sandbox == ""
            assert (await me(system, system.api_key))[0] == 200
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


def any_ports() -> tuple[str, ...]:
    """Options that take free ports."""
    names = ("rest", "mcp", "a2a", "a2a-grpc", "oauth")
    return tuple(part for name in names for part in (f"--{name}-port", "0"))
