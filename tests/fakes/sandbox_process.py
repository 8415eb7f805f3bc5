"""The sandbox Google as a process of its own, for tests that want real answers over real sockets."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Sandbox:
    """Where a running sandbox is, and its control API."""

    google: str
    senders: str

    async def order(self, **trouble: Any) -> None:
        """Order trouble, as the sandbox's control API describes it."""
        await self._ask("POST", "/sandbox/faults", trouble)

    async def fault(self, method: str, **trouble: Any) -> None:
        """Order trouble for the next calls of one method."""
        await self.order(api=[{"method": method, **trouble}])

    async def deliver(self, raw: str, labels: list[str]) -> str:
        """Bring one mail. Gives its id."""
        answer = await self._ask("POST", "/sandbox/deliver", {"raw": raw, "labels": labels})
        return answer["delivered"][0]["id"]

    async def add_event(self, **event: Any) -> None:
        await self._ask("POST", "/sandbox/events", event)

    async def summary(self) -> dict[str, Any]:
        return await self._ask("GET", "/sandbox/summary")

    async def token_json(self) -> str:
        return json.dumps(await self._ask("GET", "/sandbox/token"))

    async def sender_requests(self, list_name: str) -> list[dict[str, Any]]:
        return (await self._ask("GET", f"/sandbox/requests?list={list_name}"))["requests"]

    async def _ask(self, verb: str, path: str, body: Any = None) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.request(verb, self.google + path, json=body) as response,
        ):
            assert response.status == 200, await response.text()
            return await response.json()


@contextlib.contextmanager
def running_sandbox(folder: Path, **environment: str) -> Iterator[Sandbox]:
    """Start a sandbox and stop it at the end of the block."""
    ready = folder / "sandbox.json"
    settings = {**os.environ, "READY_FILE": str(ready), "LISTEN": "127.0.0.1:0", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.sandbox"], env=settings, stderr=subprocess.DEVNULL
    )
    try:
        give_up_at = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None, "the sandbox ended at once"
            assert time.monotonic() < give_up_at, "the sandbox did not start in time"
            time.sleep(0.02)
        yield Sandbox(**json.loads(ready.read_text())["addresses"])
    finally:
        process.terminate()
        process.wait(10)
