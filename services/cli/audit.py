"""`mailwarden audit`: whether the log holds, and a copy of it."""

import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp

from services.cli.failure import Failure
from services.cli.plain import plain_console
from services.cli.remote import find_operator
from services.cli.settings import cli_settings

_CONNECT_S: Final = 10


async def verify_audit(data_dir: Path, team_id: str) -> int:
    """Verify chains and name the first row of each that does not fit. Exit code 1 when there is one."""
    console = plain_console()
    event_count = broken_count = 0
    async for chain in find_operator(data_dir, cli_settings()).verify_audit(team_id):
        event_count += chain.event_count
        if not chain.intact:
            broken_count += 1
            console.print(
                f"BROKEN: team {chain.team_id}, sequence"
                f" {chain.broken_sequence}: {chain.problem.lower()}"
                f" ({chain.event_count} events before it are as they were)",
                soft_wrap=True,
            )
    if broken_count:
        return 1
    console.print(f"intact: {event_count} events verified")
    return 0


async def export_audit(lines: AsyncIterator[bytes], output: Path | None) -> int:
    """Write a log as JSON lines, one for each event, oldest first."""
    try:
        if output is None:
            return await _write(lines, sys.stdout.buffer)
        with output.open("wb") as file:
            return await _write(lines, file)
    except (OSError, aiohttp.ClientError) as error:
        raise Failure(f"the export failed: {error}") from error


async def _write(lines: AsyncIterator[bytes], target: BinaryIO) -> int:
    async for line in lines:
        target.write(line)
    return 0


def lines_for_operator(data_dir: Path, team_id: str, action: str) -> AsyncIterator[bytes]:
    """Read any chain by certificate; without a team the one of what belongs to none."""
    return find_operator(data_dir, cli_settings()).export_audit(team_id, action)


async def lines_for_team(url: str, action: str) -> AsyncIterator[bytes]:
    """Read the log of a key's team from the REST edge. The key must hold `audit:read`."""
    api_key = cli_settings().mailwarden_api_key.get_secret_value()
    if not api_key:
        raise Failure("set MAILWARDEN_API_KEY to a key that holds the scope audit:read")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    query = {"action": action} if action else {}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(
            f"{url.rstrip('/')}/v1/audit/export",
            params=query,
            headers={"X-API-Key": api_key},
            allow_redirects=False,  # the key is for this address alone
        ) as response,
    ):
        if response.status != HTTPStatus.OK:
            raise Failure(await _refusal(url, response))
        async for line in response.content:
            if line.startswith(b'{"error"'):
                raise Failure("the export broke off; run it again")
            yield line


async def _refusal(url: str, response: aiohttp.ClientResponse) -> str:
    if response.content_type != "application/problem+json":
        return f"{url} answers with {response.status}, not as the REST edge does"
    problem = await response.json(content_type=None)
    return f"{url} says: {problem.get('detail')} ({problem.get('reason')})"
