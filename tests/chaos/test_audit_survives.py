"""Auth and the mail core are killed while things happen: the log loses none of it and tells nothing twice."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from services.cli.folder import DataFolder
from services.cli.postgres import Cluster
from services.cli.provisioning import Credentials
from tests.system import ROOT, RunningSystem, running_system

SCANS = 4


def mailwarden(system: RunningSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", *arguments, "--data-dir", str(system.data_dir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


async def events_of(system: RunningSystem, key: str) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": key}) as session,
        session.get(f"{system.rest}/v1/audit/export") as answer,
    ):
        assert answer.status == 200, await answer.text()
        return [json.loads(line) async for line in answer.content]


@pytest.mark.timeout(300)  # a whole system of its own, begun, killed twice and ended
async def test_the_log_survives_kills_of_both_backends(tmp_path: Path) -> None:
    """What was accepted while auth was dead is in the log once it is back, once and in order."""
    with running_system(
        tmp_path, WORKER_HEARTBEAT_S="0.5", WORKER_STALLED_S="2", TRACE_SAMPLE_RATIO="0"
    ) as system:
        key = await asyncio.to_thread(
            mailwarden, system, "keys", "create", "--label", "auditor", "--scope", "audit:read"
        )
        assert key.returncode == 0, key.stderr
        asked = await _ask_while_auth_is_dead(system)
        async with asyncio.timeout(60):
            while True:
                events = await events_of(system, key.stdout.strip())
                done = {e["facts"]["operation_id"] for e in events if e["action"] == "mailbox.scanned"}
                if set(asked) <= done:
                    break
                await asyncio.sleep(0.3)
        requested = Counter(e["facts"]["operation_id"] for e in events if e["action"] == "scan.requested")
        assert [requested[each] for each in asked] == [1] * SCANS
        finished = Counter(e["facts"]["operation_id"] for e in events if e["action"] == "mailbox.scanned")
        assert [finished[each] for each in asked] == [1] * SCANS
        order = [e["facts"]["operation_id"] for e in events if e["action"] == "scan.requested"]
        assert [each for each in order if each in asked] == asked
        assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))
        verified = await asyncio.to_thread(mailwarden, system, "audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        copy = await _roll_back(system, tmp_path / "copies")
        rolled_back = await asyncio.to_thread(mailwarden, system, "audit", "verify", "--checkpoint", copy)
        assert rolled_back.returncode == 1, rolled_back.stdout
        assert "copy" in rolled_back.stdout
        assert "the database was rolled back" in rolled_back.stdout
        await _tamper(system)
        found = await asyncio.to_thread(mailwarden, system, "audit", "verify")
        assert (found.returncode, "event 2 was changed" in found.stdout) == (1, True), found.stdout


async def _ask_while_auth_is_dead(system: RunningSystem) -> list[str]:
    asked: list[str] = []
    async with aiohttp.ClientSession(headers={"X-API-Key": system.api_key}) as session:
        await session.get(f"{system.rest}/v1/mailboxes")  # the edge holds a passport from now on
        auth = system.kill("auth")
        for _ in range(SCANS):
            async with session.post(f"{system.rest}/v1/mailboxes/me/scans", json={"dry_run": True}) as answer:
                assert answer.status == 202, await answer.text()
                asked.append((await answer.json())["id"])
        core = system.kill("mail_core")
        await asyncio.to_thread(system.await_return, "auth", auth)
        await asyncio.to_thread(system.await_return, "mail_core", core)
    return asked


async def _roll_back(system: RunningSystem, copy: Path) -> str:
    """Keep copies elsewhere, then take the last checkpoints away, as an older backup would."""
    made = await asyncio.to_thread(mailwarden, system, "audit", "checkpoints", "--output", str(copy))
    assert made.returncode == 0, made.stderr
    await _as_owner(
        system,
        "DELETE FROM audit_checkpoint_heads WHERE number >= (SELECT max(number) - 1 FROM audit_checkpoints)",
        "DELETE FROM audit_checkpoints WHERE number >= (SELECT max(number) - 1 FROM audit_checkpoints)",
    )
    return str(copy)


async def _tamper(system: RunningSystem) -> None:
    await _as_owner(system, "UPDATE audit_events SET actor = 'nobody' WHERE sequence = 2")


async def _as_owner(system: RunningSystem, *statements: str) -> None:
    folder = DataFolder.prepare(system.data_dir)
    password = Credentials(folder.secrets / "database.json").passwords()["postgres"]
    url = Cluster.at(folder.postgres, password).admin_url.replace("/postgres?", "/mailwarden_auth?")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        for statement in statements:
            await owner.execute(statement.encode())
