"""`mailwarden keys`, `team`, `grants`, `clients` and `tokens` as an operator types them, on a real system."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from services.common.audit_notes import RefusalNotes
from services.common.database import Database
from tests.integration.auth.oauth.test_process import free_port
from tests.integration.auth.oauth.world import RESOURCE, BreakableAudit, World
from tests.integration.auth.processes import RunningAuth, running_auth
from tests.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRET = re.compile(r"ma_[A-Za-z0-9_-]{43}\n")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Shell:
    """Somebody at a terminal with the operator's certificate, and a world to act on."""

    auth: RunningAuth
    world: World

    async def run(self, *words: str, typed: str = "") -> Said:
        files = self.auth.certificates.environment("cli")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path.cwd()),
            "COLUMNS": "200",
            "AUTH_ADDRESS": self.auth.address,
            "MAIL_CORE_ADDRESS": self.auth.address,
            **{name: files[name] for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")},
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *words),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(typed.encode())
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def done(self, *words: str, typed: str = "") -> Said:
        said = await self.run(*words, typed=typed)
        assert said.code == 0, said.err
        return said

    async def team(self, plan: str = "free") -> str:
        said = await self.done("team", "create", "Tenant", "--plan", plan)
        assert UUID.fullmatch(said.out.strip())
        return said.out.strip()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    folder, port = tmp_path_factory.mktemp("commands"), free_port()
    url = f"http://127.0.0.1:{port}"
    database = Database(databases.auth.app_url, pool_size=2)
    audit = BreakableAudit(database)
    async with (
        running_auth(
            folder / "auth",
            databases.auth.app_url,
            OAUTH_LISTEN=f"127.0.0.1:{port}",
            OAUTH_ISSUER=url,
            OAUTH_RESOURCES=RESOURCE,
            OAUTH_KEY_FILE=str(folder / "oauth.pem"),
        ) as auth,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        admin_url = databases.admin_url.replace("/postgres?", f"/{databases.auth.name}?")
        notes = RefusalNotes(audit.append)
        yield Shell(auth, World(url, None, database, admin_url, session, audit, notes))  # type: ignore[arg-type]
    await database.close()


async def test_a_key_is_made_listed_rotated_and_revoked(shell: Shell) -> None:
    """The secret alone is on standard output, once; the list shows when each was used."""
    team = await shell.team()
    made = await shell.done("keys", "create", "--team", team, "--label", "ci", "--scope", "mail:scan")
    assert SECRET.fullmatch(made.out)
    first_id = UUID.findall(made.err)[0]
    secret = made.out.strip()
    listed = await shell.done("keys", "list", "--team", team)
    assert "never" in listed.out
    assert secret not in listed.out
    assert await shell.auth.refusal(api_key=secret) == "ACCEPTED"
    used = next(line for line in (await shell.done("keys", "list", "--team", team)).out.splitlines()
                if first_id in line)  # fmt: skip
    assert re.search(r"works +\d{4}-\d\d-\d\d \d\d:\d\d", used), used
    rotated = await shell.done("keys", "rotate", first_id, "--team", team, "--overlap-minutes", "0")
    assert SECRET.fullmatch(rotated.out)
    assert await shell.auth.refusal(api_key=secret) in {"KEY_REVOKED", "KEY_EXPIRED"}
    assert await shell.auth.refusal(api_key=rotated.out.strip()) == "ACCEPTED"
    second_id = next(found for found in UUID.findall(rotated.err) if found != first_id)
    revoked = await shell.done("keys", "revoke", second_id, "--team", team)
    assert "is revoked" in revoked.out
    assert await shell.auth.refusal(api_key=rotated.out.strip()) == "KEY_REVOKED"
    assert "revoked" in (await shell.done("keys", "list", "--team", team)).out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("keys", "create", "--label", "x", "--scope", "mail:everything"), "SCOPE_UNKNOWN"),
        (("keys", "create", "--label", " x "), "LABEL_INVALID"),
        (("keys", "create", "--label", "x", "--mailbox", "me"), "MAILBOX_ID_INVALID"),
        (("keys", "rotate", "x"), "KEY_NOT_FOUND"),
        (("keys", "revoke", "00000000-0000-4000-8000-000000000000"), "KEY_NOT_FOUND"),
        (("keys", "list", "--team", "00000000-0000-4000-8000-000000000000"), "TEAM_NOT_FOUND"),
        (("team", "create", "T", "--plan", "gold"), "PLAN_UNKNOWN"),
        (("team", "set-plan", "x", "pro"), "TEAM_NOT_FOUND"),
        (("grants", "revoke", "x"), "GRANT_NOT_FOUND"),
        (("grants", "list", "--team", "x"), "TEAM_NOT_FOUND"),
        (("clients", "revoke", "x"), "CLIENT_NOT_FOUND"),
        (("clients", "revoke", "x", "--all-teams"), "CLIENT_NOT_FOUND"),
        (("clients", "block", "com"), "CLIENT_ADDRESS_INVALID"),
        (("clients", "unblock", "never.example"), "CLIENT_NOT_BLOCKED"),
        (("tokens", "revoke"), "TOKEN_UNNAMED"),
        (("tokens", "revoke", "--id", "x"), "TOKEN_ID_INVALID"),
        (("tokens", "revoke", "--principal", "key:x"), "PRINCIPAL_INVALID"),
        (("tokens", "revoke", "--id", "0" * 64, "--keep-days", "9999"), "KEEP_DAYS_OUT_OF_RANGE"),
        (("tokens", "revoke", "--file", "/nowhere/token"), "cannot read"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line(shell: Shell, words: tuple[str, ...], told: str) -> None:
    """Exit code 1, the reason, no traceback."""
    said = await shell.run(*words)
    assert said.code == 1
    assert told in said.err
    assert "Traceback" not in said.err


async def test_the_last_admin_key_needs_force(shell: Shell) -> None:
    """A slip must not leave a team that nobody governs."""
    team = await shell.team()
    made = await shell.done("keys", "create", "--team", team, "--label", "boss", "--admin")
    key_id = UUID.findall(made.err)[0]
    assert "LAST_ADMIN_KEY" in (await shell.run("keys", "revoke", key_id, "--team", team)).err
    await shell.done("keys", "revoke", key_id, "--team", team, "--force")
    assert await shell.auth.refusal(api_key=made.out.strip()) == "KEY_REVOKED"


async def test_a_team_is_put_on_a_plan_and_switched_off_and_on(shell: Shell) -> None:
    """Each at once."""
    team = await shell.team()
    made = (await shell.done("keys", "create", "--team", team, "--label", "x", "--read-only")).out.strip()
    assert "plan pro, on" in (await shell.done("team", "set-plan", team, "pro")).out
    assert "off" in (await shell.done("team", "disable", team)).out
    assert await shell.auth.refusal(api_key=made) == "TEAM_DISABLED"
    row = next(line for line in (await shell.done("team", "list")).out.splitlines() if team in line)
    assert re.search(r"Tenant +pro +off", row), row
    await shell.done("team", "enable", team)
    assert await shell.auth.refusal(api_key=made) == "ACCEPTED"


async def granted(shell: Shell) -> tuple[str, str, dict[str, Any]]:
    """A client that a team allowed something: team, client, tokens."""
    world = shell.world
    client, key = (await world.register())["client_id"], await world.key()
    return key.team_id, client, (await world.redeem(client, await world.code(client, key))).json


@pytest.mark.promise("revocation.grants")
async def test_an_operator_sees_grants_and_takes_them_back(shell: Shell) -> None:
    """Which client, by whom, what, since when."""
    team, client, tokens = await granted(shell)
    assert await shell.auth.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "ACCEPTED"
    listed = (await shell.done("grants", "list", "--team", team)).out
    assert "Test agent" in listed
    assert "the holder of key" in " ".join(listed.split())
    assert "mail:scan" in listed
    grant_id = UUID.findall(listed)[0]
    clients = (await shell.done("clients", "list", "--team", team)).out
    assert client in clients
    assert "is revoked" in (await shell.done("grants", "revoke", grant_id, "--team", team)).out
    assert await shell.auth.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"
    assert "revoked" in (await shell.done("grants", "list", "--team", team)).out
    assert client not in (await shell.done("clients", "list", "--team", team)).out


async def test_an_operator_stops_a_client_in_one_team_or_in_all(shell: Shell) -> None:
    """Everywhere means that it is not known any more either."""
    team, client, tokens = await granted(shell)
    assert "1 grants" in (await shell.done("clients", "revoke", client, "--team", team)).out
    assert await shell.auth.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"
    _, client, tokens = await granted(shell)
    await shell.done("clients", "revoke", client, "--all-teams")
    assert await shell.auth.refusal(bearer=tokens["access_token"], resource=RESOURCE) == "TOKEN_REVOKED"
    assert (await shell.world.refresh(client, tokens["refresh_token"])).json["error"] == "invalid_client"


async def test_an_operator_ends_one_token_by_its_text_and_shows_it_to_nobody(
    shell: Shell, tmp_path: Path
) -> None:
    """From standard input or a file; what is printed names it by its id."""
    _, _, first = await granted(shell)
    _, _, second = await granted(shell)
    file = tmp_path / "token.txt"
    file.write_text(second["access_token"] + "\n")
    said = [
        await shell.done("tokens", "revoke", typed=first["access_token"] + "\n"),
        await shell.done("tokens", "revoke", "--file", str(file)),
    ]
    for tokens, told in zip((first, second), said, strict=True):
        assert re.fullmatch(r"token:[0-9a-f]{32} is revoked and remembered until .+\n", told.out)
        refused = await shell.auth.refusal(bearer=tokens["access_token"], resource=RESOURCE)
        assert refused == "TOKEN_REVOKED"
        assert tokens["access_token"] not in shell.auth.log.read_text()
    ended = await shell.done("tokens", "revoke", typed=first["refresh_token"])
    assert re.fullmatch(r"grant:[0-9a-f-]{36} is revoked\n", ended.out)


async def test_an_operator_blocks_a_host_and_lets_it_in_again(shell: Shell) -> None:
    """The list shows it for as long as it lasts."""
    assert "0 grants" in (await shell.done("clients", "block", "Agent.Example")).out
    assert "agent.example" in (await shell.done("clients", "blocked")).out
    await shell.done("clients", "unblock", "agent.example")
    assert "agent.example" not in (await shell.done("clients", "blocked")).out
