"""Revocation: a key that every edge has seen is refused by all of them in under a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp

from protos.auth.v1 import auth_pb2
from services.cli.admin import Operator
from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.target import Target
from services.cli.doctor.throwaway import settled, throwaway_key, throwaway_team

BOUND_S: Final = 1.0
_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.02
_UNAUTHENTICATED: Final = 401
_TIMES: Final = {"start_time": "2026-03-10T09:00:00Z", "end_time": "2026-03-10T10:00:00Z"}

Door = Callable[[aiohttp.ClientSession, str], Awaitable[int]]
"""Asks an edge with a key; gives the status."""


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Warm every edge with a key, revoke it, and measure."""
    doors = doors_of(target.edges)
    if not doors:
        yield skipped("revocation.edges", "no edge is known")
        return
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        throwaway_team(target.operator) as team_id,
        throwaway_key(target.operator, team_id) as key,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        if rest := target.edges.get("rest"):
            await settled(session, rest, key.secret)
        yield await measured(session, doors, key.secret, _revoking(target.operator, team_id, key.key_id))


async def measured(
    session: aiohttp.ClientSession,
    doors: Mapping[str, Door],
    secret: str,
    revoke: Callable[[], Awaitable[None]],
) -> Finding:
    """Judge the doors by how long a revoked key still opens them."""
    closed = [name for name, door in doors.items() if await door(session, secret) == _UNAUTHENTICATED]
    if closed:
        return Finding("revocation.edges", Status.FAIL, f"a fresh key is refused at {', '.join(closed)}")
    since = time.monotonic()
    await revoke()
    took = await asyncio.gather(*(_until_refused(session, door, secret, since) for door in doors.values()))
    problems = [
        f"{name} still served it after {seconds:.2f} s"
        for name, seconds in zip(doors, took, strict=True)
        if seconds >= BOUND_S
    ]
    fine = f"refused at {', '.join(doors)}, the last after {max(took):.2f} s"
    return judged("revocation.edges", problems, fine)


def doors_of(edges: Mapping[str, str]) -> dict[str, Door]:
    """Make a door of each edge that is known, to auth and to the core where both are behind it."""
    makers: dict[str, Callable[[str], dict[str, Door]]] = {
        "rest": lambda url: {"REST": _get(f"{url}/v1/mailboxes"), "REST (auth)": _get(f"{url}/v1/me")},
        "mcp": lambda url: {"MCP": _post(url, _MCP_CALL, {"Accept": "application/json, text/event-stream"})},
        "a2a": lambda url: {"A2A": _post(f"{url}/a2a/rpc", _A2A_CALL, {"A2A-Version": "1.0"})},
    }
    return {
        name: door
        for edge, make in makers.items()
        if edges.get(edge)
        for name, door in make(edges[edge]).items()
    }


_MCP_CALL: Final = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
_A2A_CALL: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {
        "message": {
            "messageId": "1",
            "role": "ROLE_USER",
            "parts": [{"data": {"action": "check_availability", **_TIMES}}],
        }
    },
}


def _get(url: str) -> Door:
    async def ask(session: aiohttp.ClientSession, secret: str) -> int:
        async with session.get(url, headers={"X-API-Key": secret}) as answer:
            await answer.read()
            return answer.status

    return ask


def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Door:
    async def ask(session: aiohttp.ClientSession, secret: str) -> int:
        async with session.post(url, json=body, headers={**headers, "X-API-Key": secret}) as answer:
            await answer.read()
            return answer.status

    return ask


def _revoking(operator: Operator, team_id: str, key_id: str) -> Callable[[], Awaitable[None]]:
    async def revoke() -> None:
        request = auth_pb2.RevokeApiKeyRequest(team_id=team_id, key_id=key_id, force=True)
        async with operator.auth() as auth:
            await auth.RevokeApiKey(request)

    return revoke


async def _until_refused(session: aiohttp.ClientSession, door: Door, secret: str, since: float) -> float:
    while await door(session, secret) != _UNAUTHENTICATED:
        if time.monotonic() - since > _PATIENCE_S:
            return _PATIENCE_S
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - since
