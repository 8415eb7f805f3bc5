"""Known secrets are planted, a whole story is told, and all that was written is searched for them."""

import asyncio
import base64
import json
import secrets as randomness
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from services.sandbox.grants import REFRESH_TOKEN
from tests.fakes.otlp_collector import Collector, collecting
from tests.fakes.tokens import AUDIENCE, ISSUER, claims, hs256
from tests.integration.auth.oauth.world import Key
from tests.matrix.authorization import authorizing
from tests.matrix.callers import As
from tests.matrix.world import World
from tests.system import ROOT, running_system

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

ENVIRONMENT_KEY = "Planted-environment-key-7Qw2eR9tY4uI1oA6"
JWT_SECRET = "Planted.jwt.secret.Vq3xN8ZtRk1mYw5cB7eJ2uHdL9sGaTf0"
SUBJECT, BODY = "Planted subject zebrafink seven", "Planted body of the letter, quokka nine"
SENDER = "planted-sender@letters.planted.example"
LINK = "https://letters.planted.example/leave/planted-link-token-4711"
GARBAGE = "planted-garbage-Zm9vYmFyYmF6"
"""A secret in places where none belongs: a client's mistake must not become our leak."""
MAIL = f"""\
From: Planted Letters <{SENDER}>
To: somebody@example.com
Subject: {SUBJECT}
Message-ID: <planted-1@letters.planted.example>
Date: Tue, 10 Mar 2026 09:00:00 +0000
List-Id: <letters.planted.example>
List-Unsubscribe: <{LINK}>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

{BODY}
"""
_KEY_FILES = ("secrets", "certs")
"""Folders of the data folder whose files hold secrets because that is what they are for."""


@dataclass(slots=True)
class Planted:
    """What was planted, and where to look for what was written."""

    world: World
    collector: Collector
    replica_log: Path
    up_log: Path
    answers: list[tuple[str, str]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    """Never anywhere: credentials, keys, and the words of mail."""
    private: dict[str, str] = field(default_factory=dict)
    """In the database and in answers to their owner, and nowhere else: addresses."""
    links: dict[str, str] = field(default_factory=dict)
    """In answers to their owner, and nowhere else: the database has them sealed."""

    async def ask(self, method: str, url: str, *, shows: str = "", **options: Any) -> str:
        """Ask, and keep what was answered; `shows` names the one field that may hold a secret."""
        async with self.world.http.request(method, url, **options) as answer:
            text = await answer.text()
            told = f"{dict(answer.headers)} {text}"
        if shows:
            self.secrets[f"{shows} of {method} {url[-40:]} #{len(self.answers)}"] = json.loads(text)[shows]
            told = told.replace(json.loads(text)[shows], "…")
        self.answers.append((f"{method} {url}", told))
        return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Planted]:
    folder = tmp_path_factory.mktemp("planted")
    async with collecting() as collector, aiohttp.ClientSession() as http:
        context = running_system(
            folder,
            AUTH_MODE="hybrid",
            AGENT_API_KEY=ENVIRONMENT_KEY,
            AUTH_JWT_SECRET=JWT_SECRET,
            AUTH_JWT_ISSUER=ISSUER,
            AUTH_JWT_AUDIENCE=AUDIENCE,
            MCP_ENABLE_MUTATION_TOOLS="true",
            LOG_LEVEL="DEBUG",
            TRACE_SAMPLE_RATIO="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
        )
        system = await asyncio.to_thread(context.__enter__)
        world = World(system, http, system.data_dir / "certs")
        try:
            made = Planted(world, collector, folder / "authorization.log", folder / "up.log")
            await _tell(made, folder)
            yield made
        finally:
            await world.close()
            await asyncio.to_thread(context.__exit__, None, None, None)


async def _tell(planted: Planted, folder: Path) -> None:
    """The story: mail is scanned and lists are ended; people sign in; keys come and go; things break."""
    world = planted.world
    async with world.http.post(f"{world.system.sandbox}/sandbox/deliver", json={"raw": MAIL}) as answer:
        assert answer.status == 200, await answer.text()
    await world.make()
    planted.secrets |= _of_the_system(world) | {
        "environment key": ENVIRONMENT_KEY,
        "JWT secret": JWT_SECRET,
        "Google refresh token": REFRESH_TOKEN,
        "subject": SUBJECT,
        "body": BODY,
        "garbage": GARBAGE,
        "JWT": hs256(claims(int(time.time())), JWT_SECRET),
        **{f"key of {caller}": member.secret for caller, member in world.members.items()},
        "passport": await world.passport(As.ADMIN, "mail_core"),
    }
    planted.private, planted.links = {"sender": SENDER}, {"link": LINK}
    await _mail(planted)
    await _keys(planted)
    await _sign_in(planted, folder)
    await _garbage(planted)
    await _commands(planted)
    await _exported(planted)


def _of_the_system(world: World) -> dict[str, str]:
    """What the data folder's key files hold."""
    folder = world.system.data_dir / "secrets"
    master = (folder / "master.key").read_text().splitlines()[0].split(":")[1]
    passwords = json.loads((folder / "database.json").read_text())
    pem = (folder / "passport.pem").read_text().splitlines()[1]
    named = {f"password of {role}": password for role, password in passwords.items()}
    return {"master key": master, "passport key": pem, **named}


async def _mail(planted: Planted) -> None:
    rest, headers = planted.world.system.rest, await planted.world.credential(As.ADMIN)
    base = f"{rest}/v1/mailboxes/me"
    scan = json.loads(await planted.ask("POST", f"{base}/scans", json={}, headers=headers))
    await planted.ask("GET", f"{rest}/v1/operations/{scan['id']}/events", headers=headers)
    found = json.loads(await planted.ask("GET", f"{base}/subscriptions?page_size=100", headers=headers))
    mine = [row["id"] for row in found["subscriptions"] if "planted" in row["key"]]
    assert mine, "the planted mail was not scanned"
    body = {"subscription_ids": [*mine, found["subscriptions"][0]["id"]]}
    done = json.loads(await planted.ask("POST", f"{base}/unsubscribes", json=body, headers=headers))
    await planted.ask("GET", f"{rest}/v1/operations/{done['id']}/events", headers=headers)
    await planted.ask("GET", f"{base}/unsubscribes", headers=headers)
    await planted.ask("GET", f"{rest}/v1/audit", headers=headers)


async def _keys(planted: Planted) -> None:
    url, headers = f"{planted.world.system.rest}/v1/team/keys", await planted.world.credential(As.ADMIN)
    made = await planted.ask("POST", url, json={"label": "planted"}, headers=headers, shows="secret")
    key_id = json.loads(made)["key"]["id"]
    turned = await planted.ask("POST", f"{url}/{key_id}/rotate", json={}, headers=headers, shows="secret")
    old = {"Authorization": f"Bearer {json.loads(made)['secret']}"}
    await planted.ask("GET", f"{planted.world.system.rest}/v1/me", headers=old)
    await planted.ask("DELETE", f"{url}/{json.loads(turned)['key']['id']}", headers=headers)
    await planted.ask("GET", f"{planted.world.system.rest}/v1/me", headers=old)
    await planted.ask("GET", url, headers=headers)


async def _sign_in(planted: Planted, folder: Path) -> None:
    member = planted.world.members[As.ADMIN]
    admin = Key(member.key_id, member.secret, planted.world.team_id)
    async with authorizing(planted.world.system, folder) as browser:
        client = await browser.register(token_endpoint_auth_method="client_secret_post")
        who = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
        page = await browser.sign_in(client["client_id"], admin)
        planted.secrets |= {"cookie": browser.cookies["mailwarden"], "ticket": page.field("ticket")}
        code = (await browser.consent(page, "mail:scan")).sent["code"]
        granted = (await browser.redeem(code=code, **who)).json  # type: ignore[misc]
        again = (await browser.refresh(token=granted["refresh_token"], **who)).json  # type: ignore[misc]
        planted.secrets |= {
            "client secret": who["client_secret"],
            "code": code,
            "access token": granted["access_token"],
            "refresh token": granted["refresh_token"],
            "second refresh token": again["refresh_token"],
        }
        reused = await browser.refresh(token=granted["refresh_token"], **who)  # type: ignore[misc]
        asked = {"token": again["access_token"], "client_id": admin.id, "client_secret": admin.secret}
        told = [
            reused,
            await browser.call("POST", "/oauth/introspect", data=asked),
            await browser.call("POST", "/oauth/token", data={**who, "grant_type": GARBAGE, "code": GARBAGE}),
            await browser.call("GET", f"/oauth/authorize?client_id={GARBAGE}&state=x"),
            await browser.call("POST", "/oauth/token", data=f'{{"x": "{GARBAGE}"'),
        ]
        planted.answers += [("oauth", f"{dict(answer.headers)} {answer.text}") for answer in told]


async def _garbage(planted: Planted) -> None:
    """Secrets where none belong, and requests that make every layer fail."""
    system, admin = planted.world.system, await planted.world.credential(As.ADMIN)
    rest, rpc = system.rest, {**admin, "A2A-Version": "1.0"}
    accept = {**admin, "Accept": "application/json, text/event-stream"}
    for headers in (
        {"X-API-Key": GARBAGE},
        {"Authorization": f"Bearer {GARBAGE}"},
        {"Authorization": f"Basic {GARBAGE}"},
        {"Authorization": GARBAGE},
        {**admin, "Cookie": f"session={GARBAGE}", "User-Agent": GARBAGE, "Referer": GARBAGE},
        {**admin, "X-Forwarded-For": GARBAGE, "traceparent": GARBAGE, "tracestate": f"x={GARBAGE}"},
        {**admin, "baggage": f"k={GARBAGE}", "X-Request-Id": f"{GARBAGE} with spaces is no id"},
    ):
        for path in ("/v1/me", "/v1/mailboxes"):
            await planted.ask("GET", rest + path, headers=headers)
    await planted.ask("GET", f"{rest}/v1/me?access_token={GARBAGE}", headers=admin)
    await planted.ask("GET", f"{rest}/v1/team/keys?page_token={GARBAGE}", headers=admin)
    await planted.ask("POST", f"{rest}/v1/team/keys", data=f'{{"label": "{GARBAGE}', headers=admin)
    await planted.ask("POST", f"{rest}/v1/team/keys", json={"label": 7, "x": GARBAGE}, headers=admin)
    await planted.ask("POST", f"{rest}/v1/availability", json={"start": GARBAGE, "end": 1}, headers=admin)
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1}
    for body in (
        {**call, "method": GARBAGE, "params": {}},
        {
            **call,
            "method": "tools/call",
            "params": {"name": "check_availability", "arguments": {"start": GARBAGE}},
        },
    ):
        if body["method"] != GARBAGE:  # the SDK tells a client the name of the method that it asked for
            await planted.ask("POST", system.mcp, json=body, headers=accept)
        await planted.ask("POST", f"{system.a2a}/a2a/rpc", json=body, headers=rpc)
    async with planted.world.http.post(
        f"{system.sandbox}/sandbox/faults", json={"api": [{"method": "*", "count": 3, "status": 500}]}
    ):
        window = {"start": "2026-03-10T09:00:00Z", "end": "2026-03-10T10:00:00Z"}
        await planted.ask("POST", f"{rest}/v1/availability", json=window, headers=admin)
    async with planted.world.http.post(f"{system.sandbox}/sandbox/faults", json={"clear": True}):
        pass


async def _commands(planted: Planted) -> None:
    """What an operator does: a new key, a new master key, a look at the log."""
    data = ("--data-dir", str(planted.world.system.data_dir))
    made = await _run("keys", "create", "--label", "planted by command", *data)
    planted.secrets["key made by command"] = made.splitlines()[-1].strip()
    for command in (("secrets", "rotate"), ("secrets", "status"), ("audit", "verify"), ("keys", "list")):
        planted.answers.append((" ".join(command), await _run(*command, *data)))
    master = (planted.world.system.data_dir / "secrets" / "master.key").read_text().splitlines()
    planted.secrets["second master key"] = master[0].split(":")[1]


async def _run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(90):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def _exported(planted: Planted) -> None:
    """Wait until the spans of the last request have come."""
    mark = randomness.token_hex(16)
    headers = await planted.world.credential(As.ADMIN) | {"traceparent": f"00-{mark}-{'1' * 16}-01"}
    async with planted.world.http.get(f"{planted.world.system.rest}/v1/mailboxes", headers=headers):
        pass
    async with asyncio.timeout(60):
        while planted.collector.spans.count(bytes.fromhex(mark)) < 3:
            await asyncio.sleep(0.1)


# --- where things are written


def _shapes(secret: str) -> list[bytes]:
    """How a secret may look when somebody wrote it down."""
    raw = secret.encode()
    quoted = json.dumps(secret)[1:-1].encode()
    return [
        raw,
        quoted,
        raw.hex().encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
    ]


def _found(written: bytes, planted: Mapping[str, str]) -> list[str]:
    return [name for name, secret in planted.items() if any(shape in written for shape in _shapes(secret))]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] not in _KEY_FILES:
            yield str(path.relative_to(folder)), path.read_bytes()


def _logs(planted: Planted) -> Iterator[tuple[str, bytes]]:
    for path in sorted((planted.world.system.data_dir / "logs").iterdir()):
        yield path.name, path.read_bytes()
    yield planted.replica_log.name, planted.replica_log.read_bytes()
    # `up` prints its key for the person in front of it, once.
    printed = planted.world.system.api_key.encode()
    yield planted.up_log.name, planted.up_log.read_bytes().replace(printed, b"")


def _command_lines(planted: Planted) -> Iterator[tuple[str, bytes]]:
    for name, pid in {**planted.world.system.pids, "up": planted.world.system.process.pid}.items():
        yield name, Path(f"/proc/{pid}/cmdline").read_bytes()


async def _rows(planted: Planted) -> list[tuple[str, bytes]]:
    found = []
    for database in ("mailwarden_auth", "mailwarden_mail"):
        connection = await planted.world.database(database)
        query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog')"
        for (table,) in await (await connection.execute(query)).fetchall():
            async with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:  # type: ignore[arg-type]
                found.append((f"{database} {table}", b"".join([bytes(part) async for part in copy])))
    return found


async def _leaks(
    planted: Planted, hidden: Mapping[str, str], private: Mapping[str, str], links: Mapping[str, str]
) -> list[str]:
    """Every place that holds what it must not."""
    everything = {**hidden, **private, **links}
    open_places = [
        *_logs(planted),
        *_command_lines(planted),
        ("spans, metrics and logs by OTLP", planted.collector.everything),
    ]
    at_rest = await _rows(planted)
    answers = [
        *_files(planted.world.system.data_dir),
        *((place, text.encode()) for place, text in planted.answers),
    ]
    searched = [(open_places, everything), (at_rest, {**hidden, **links}), (answers, hidden)]
    return [
        f"{place}: {name}"
        for places, secrets in searched
        for place, text in places
        for name in _found(text, secrets)
    ]


@pytest.mark.promise("secrets.at-rest", "secrets.logs", "traces.private", "secrets.planted")
async def test_nothing_that_was_planted_is_found_anywhere(planted: Planted) -> None:
    """Logs of all processes, spans, every table, every file but the key files, answers, command lines."""
    assert len(planted.secrets) > 25
    assert len(planted.answers) > 30
    assert not [told for _, told in planted.answers if "Traceback" in told]
    assert [told for _, told in planted.answers if LINK in told], "its owner was not shown the link"
    leaks = await _leaks(planted, planted.secrets, planted.private, planted.links)
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize("place", ["log", "table", "hash column", "file", "answer", "span"])
async def test_what_is_planted_on_purpose_is_found(place: str, planted: Planted) -> None:
    """A search that finds nothing proves nothing before it has found something in each of its places."""
    secret = "on-purpose-" + randomness.token_hex(8)
    data = planted.world.system.data_dir
    auth = await planted.world.database("mailwarden_auth")
    if place == "log":
        with (data / "logs" / "edge_rest.log").open("a") as log:
            log.write(json.dumps({"event": secret}) + "\n")
    elif place == "table":
        await auth.execute("INSERT INTO teams (id, name) VALUES (gen_random_uuid(), %s)", (secret,))
    elif place == "hash column":
        await auth.execute(
            "INSERT INTO api_keys (id, team_id, label, key_hash, scopes, created_at) VALUES"
            " (gen_random_uuid(), %s, 'x', %s, '{mail:scan}', now())",
            (planted.world.team_id, secret.encode()[:27].ljust(32, b".")),
        )
    elif place == "file":
        (data / "system.bak").write_text(base64.b64encode(secret.encode()).decode())
    elif place == "answer":
        planted.answers.append(("GET /", secret))
    else:
        planted.collector.received[next(iter(planted.collector.received))].append(secret.encode())
    assert await _leaks(planted, {"on purpose": secret}, {}, {}), place
