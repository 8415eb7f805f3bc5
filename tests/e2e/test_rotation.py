"""Keys rotate in a running system, by the command line, while clients go on calling: nobody is refused."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import psutil
import psycopg
import pytest

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2, mail_pb2_grpc
from services.common.context import Call, entered
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.tls import TlsFiles
from tests.fakes.transit_host import TOKEN, serving_transit
from tests.system import ROOT, RunningSystem, running_system

AVAILABILITY: Final = {"start_time": "2026-03-10T09:00:00Z", "end_time": "2026-03-10T10:00:00Z"}
_START_S: Final = 30.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system of our own: whose keys change is no system for others."""
    with running_system(
        tmp_path_factory.mktemp("rotation"), RATE_LIMIT_PER_MINUTE="100000", TRACE_SAMPLE_RATIO="0"
    ) as running:
        yield running


def mailwarden(system: RunningSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    command = [sys.executable, "-m", "services.cli", *arguments, "--data-dir", str(system.data_dir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


async def in_background(system: RunningSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(mailwarden, system, *arguments)


@dataclass(frozen=True, slots=True)
class Replica:
    """A second process of a service."""

    addresses: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return self.addresses["grpc"]


@contextlib.contextmanager
def second(system: RunningSystem, service: str, folder: Path, **changes: str) -> Iterator[Replica]:
    """Run another replica with the settings of the first, but for some changes."""
    ready = folder / f"{service}2.json"
    environment = psutil.Process(system.pids[service]).environ() | {"READY_FILE": str(ready), **changes}
    environment |= dict.fromkeys(("LISTEN", "OAUTH_LISTEN"), "127.0.0.1:0")
    with (folder / f"{service}2.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{service}"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + _START_S
        while not ready.exists():
            is_alive = process.poll() is None and time.monotonic() < end
            assert is_alive, (folder / f"{service}2.log").read_text()
            time.sleep(0.05)
        yield Replica(json.loads(ready.read_bytes())["addresses"], process)
    finally:
        process.terminate()
        process.wait(30)


class Caller:
    """A client that calls all the time, and what it was answered."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self.answers: list[Any] = []
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def calling(self, width: int = 3) -> AsyncIterator[None]:
        stop = asyncio.Event()

        async def keep() -> None:
            while not stop.is_set():
                try:
                    self.answers.append(await self._call())
                except (AppError, aiohttp.ClientError, AssertionError) as error:
                    self.failures.append(repr(error))

        tasks = [asyncio.create_task(keep()) for _ in range(width)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def rest(
    system: RunningSystem, path: str, url: str = ""
) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    async with aiohttp.ClientSession(headers={"X-API-Key": system.api_key}) as session:

        async def call() -> int:
            body = AVAILABILITY if path == "/v1/availability" else None
            method, where = "POST" if body else "GET", (url or system.rest) + path
            async with session.request(method, where, json=body) as answer:
                text = await answer.text()
                assert answer.status == 200, text
                return answer.status

        yield call


def tls(system: RunningSystem, service: str) -> TlsFiles:
    certs = system.data_dir / "certs"
    return TlsFiles(certs / f"{service}.pem", certs / f"{service}.key", certs / "ca.pem")


def master_keys(system: RunningSystem) -> dict[str, Any]:
    answer = mailwarden(system, "secrets", "status", "--json")
    assert answer.returncode == 0, answer.stderr
    return {key["key_id"]: key for key in json.loads(answer.stdout)["master_keys"]}


@pytest.mark.promise("rights.rotation")
async def test_master_keys_rotate_under_load_and_the_old_one_leaves(system: RunningSystem) -> None:
    """Every call opens a grant; none fails. The old key leaves when nothing needs it."""
    file = system.data_dir / "secrets" / "master.key"
    planted = [line.split(":")[1] for line in file.read_text().split()]
    assert master_keys(system)["k1"] == {
        "key_id": "k1", "seals": True, "values": 1, "of_older_form": 0, "replicas": 1
    }  # fmt: skip
    early = mailwarden(system, "secrets", "retire", "k1")
    assert (early.returncode, "newest" in early.stderr) == (1, True)
    async with rest(system, "/v1/availability") as call:
        caller = Caller(call)
        async with caller.calling():
            done = await in_background(system, "secrets", "rotate")
        assert caller.failures == []
        assert len(caller.answers) > 5
    assert done.returncode == 0, done.stderr
    assert "1 values examined: 1 re-encrypted, 0 replaced" in done.stdout
    assert "master key k1 is needed by nothing" in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    new_id = file.read_text().partition(":")[0]
    keys = master_keys(system)
    assert (keys[new_id]["values"], keys[new_id]["seals"], keys["k1"]["values"]) == (1, True, 0)
    soon = mailwarden(system, "secrets", "retire", "k1")
    assert (soon.returncode, "MASTER_KEY_IN_USE" in soon.stderr) == (1, True)
    url = psutil.Process(system.pids["mail_core"]).environ()["DATABASE_URL"]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT set_config('mailwarden.key_upkeep', 'on', true)")
        await connection.execute("UPDATE master_keys SET last_current_at = now() - interval '1 minute'")
    assert mailwarden(system, "secrets", "retire", "k1").returncode == 0
    assert "k1:" not in file.read_text()
    gone = mailwarden(system, "secrets", "retire", "k1")
    assert (gone.returncode, "there is no master key k1" in gone.stderr) == (1, True)
    async with rest(system, "/v1/availability") as call:
        await call()
    planted += [line.split(":")[1] for line in file.read_text().split()]
    for told in (done.stdout, done.stderr, soon.stderr, system.log("mail_core")):
        assert not [key for key in planted if key in told]


@pytest.mark.promise("secrets.rotation")
async def test_a_replica_without_the_new_key_holds_the_rotation_back(
    system: RunningSystem, tmp_path: Path
) -> None:
    """Nothing is sealed with what it cannot open; `reseal` goes on once it has the file."""
    file = system.data_dir / "secrets" / "master.key"
    own = tmp_path / "master.key"
    shutil.copy(file, own)
    old_id = file.read_text().partition(":")[0]
    with second(system, "mail_core", tmp_path, MASTER_KEY_FILE=str(own)):
        assert master_keys(system)[old_id]["replicas"] == 2
        held = mailwarden(system, "secrets", "rotate", "--wait-s", "2")
        assert held.returncode == 1
        assert "mailwarden secrets reseal" in held.stderr
        assert master_keys(system)[old_id]["seals"]
        own.write_text("half a li")  # a broken file changes nothing
        assert master_keys(system)[old_id]["replicas"] == 2
        shutil.copy(file, own)
        done = mailwarden(system, "secrets", "reseal")
        assert done.returncode == 0, done.stderr
        assert "1 re-encrypted" in done.stdout
        new_id = file.read_text().partition(":")[0]
        keys = master_keys(system)
        assert (keys[new_id]["replicas"], keys[new_id]["values"], keys[new_id]["seals"]) == (2, 1, True)


def test_a_replica_whose_keys_do_not_fit_does_not_start_and_says_which(
    system: RunningSystem, tmp_path: Path
) -> None:
    """It would seal what nobody else can open."""
    own = tmp_path / "master.key"
    own.write_text("k9:" + "A" * 43 + "=\n")
    environment = psutil.Process(system.pids["mail_core"]).environ() | {
        "READY_FILE": str(tmp_path / "never"), "LISTEN": "127.0.0.1:0", "MASTER_KEY_FILE": str(own)
    }  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-m", "services.mail_core"], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    needed = next(iter(master_keys(system)))
    assert answer.returncode != 0
    assert "MASTER_KEY_FILE lacks" in answer.stderr
    assert needed in answer.stderr
    assert "AAAA" not in answer.stderr


@pytest.mark.promise("secrets.rotation")
async def test_a_core_with_a_key_service_holds_its_keys_beside_the_files(
    system: RunningSystem, tmp_path: Path
) -> None:
    """By its settings alone. The first replica has no such key, so nothing is sealed under it yet."""
    async with serving_transit(tmp_path / "vault") as host:
        (tmp_path / "token").write_text(TOKEN)
        settings = {
            "MASTER_KEY_VAULT_URL": host.url,
            "MASTER_KEY_VAULT_CA_FILE": str(host.ca_file),
            "MASTER_KEY_VAULT_TOKEN_FILE": str(tmp_path / "token"),
        }
        before = await asyncio.to_thread(master_keys, system)
        with contextlib.ExitStack() as stack:
            # In a thread, for the service answers in this one.
            await asyncio.to_thread(stack.enter_context, second(system, "mail_core", tmp_path, **settings))
            async with asyncio.timeout(20):
                while "mailwarden.v1" not in (held := await asyncio.to_thread(master_keys, system)):
                    await asyncio.sleep(0.1)
            assert (held["mailwarden.v1"]["replicas"], held["mailwarden.v1"]["seals"]) == (1, False)
            assert all(held[key_id]["replicas"] == 2 for key_id in before)
            await asyncio.to_thread(stack.close)
        assert TOKEN not in (tmp_path / "mail_core2.log").read_text()


class Passports:
    """Gets passports from two replicas of auth in turn, and shows each to the mail core at once."""

    def __init__(self, system: RunningSystem, addresses: list[str], stack: contextlib.AsyncExitStack) -> None:
        self._files = tls(system, "edge_rest")
        self._key = system.api_key
        self._stack = stack
        self._auth = [auth_pb2_grpc.AuthServiceStub(self._channel(address, "auth")) for address in addresses]
        self._mail = mail_pb2_grpc.MailServiceStub(self._channel(system.backends["mail_core"], "mail_core"))
        self.kids: list[str] = []

    def _channel(self, address: str, audience: str) -> Any:
        channel = Channel(address, audience, self._files)
        self._stack.push_async_callback(channel.close)
        return channel

    async def new(self) -> str:
        auth = self._auth[len(self.kids) % len(self._auth)]
        request = auth_pb2.IssuePassportRequest(audience="mail_core", api_key=self._key)
        token = (await auth.IssuePassport(request)).passport.token
        self.kids.append(jwt.get_unverified_header(token)["kid"])
        return token

    async def show(self, token: str) -> None:
        async def source(_: str) -> str:
            return token

        with entered(Call(request_id="t", deadline=time.monotonic() + 10, passport_for=source)):
            await self._mail.ListMailboxes(mail_pb2.ListMailboxesRequest())

    async def issue_and_show(self) -> None:
        await self.show(await self.new())


@contextlib.asynccontextmanager
async def passports(system: RunningSystem, *more: str) -> AsyncIterator[Passports]:
    async with contextlib.AsyncExitStack() as stack:
        yield Passports(system, [system.backends["auth"], *more], stack)


@pytest.mark.promise("rights.rotation")
async def test_passport_keys_rotate_on_two_replicas_without_a_refusal(
    system: RunningSystem, tmp_path: Path
) -> None:
    """Published first, signing later: new passports of either replica are believed at every moment."""
    with second(system, "auth", tmp_path) as other:
        async with passports(system, other.address) as source, rest(system, "/v1/me") as call:
            direct, edge = Caller(source.issue_and_show), Caller(call)
            async with direct.calling(), edge.calling(2):
                async with asyncio.timeout(10):
                    while len(direct.answers) < 10:
                        await asyncio.sleep(0.02)
                old = source.kids[0]
                done = await in_background(system, "secrets", "rotate", "--signing", "--publish-s", "2")
                assert done.returncode == 0, done.stderr
                async with asyncio.timeout(20):
                    while source.kids[-1] == old:
                        await asyncio.sleep(0.02)
                    seen = len(direct.answers)
                    while len(direct.answers) < seen + 30:
                        await asyncio.sleep(0.02)
            assert direct.failures == edge.failures == []
            assert source.kids[-1] in done.stdout
            assert len(set(source.kids)) == 2
    states = {key["key_id"]: key for key in signing_keys(system)}
    assert (states[old]["state"], states[source.kids[-1]]["state"]) == ("published", "signs")
    assert states[old]["until"]


def signing_keys(system: RunningSystem, purpose: str = "passports") -> list[dict[str, str]]:
    answer = mailwarden(system, "secrets", "status", "--json")
    return [key for key in json.loads(answer.stdout)["signing_keys"] if key["purpose"] == purpose]


class AccessTokens:
    """Gets access tokens of one replica of auth and shows them to the other, in turn."""

    def __init__(self, system: RunningSystem, other: Replica, stack: contextlib.AsyncExitStack) -> None:
        settings = psutil.Process(system.pids["auth"]).environ()
        self.resource = settings["OAUTH_RESOURCES"].split(",")[0]
        self.session = aiohttp.ClientSession()
        stack.push_async_callback(self.session.close)
        self.issuers = [settings["OAUTH_ISSUER"], f"http://{other.addresses['oauth']}"]
        self.auth = []
        for address in (system.backends["auth"], other.address):
            channel = Channel(address, "auth", tls(system, "edge_mcp"))
            stack.push_async_callback(channel.close)
            self.auth.append(auth_pb2_grpc.AuthServiceStub(channel))  # type: ignore[arg-type]
        made = mailwarden(system, "keys", "create", "--label", "tokens", "--scope", "mail:scan")
        self.secret = made.stdout.strip()
        self.key_id = made.stderr.split()[1]
        self.kids: list[str] = []

    async def new(self) -> str:
        form = {
            "grant_type": "client_credentials", "client_id": self.key_id, "client_secret": self.secret,
            "resource": self.resource,
        }  # fmt: skip
        url = f"{self.issuers[len(self.kids) % 2]}/oauth/token"
        async with self.session.post(url, data=form) as answer:
            told = await answer.json()
            assert answer.status == 200, told
        token = str(told["access_token"])
        self.kids.append(jwt.get_unverified_header(token.removeprefix("mat_"))["kid"])
        return token

    async def show(self, token: str, replica: int) -> None:
        request = auth_pb2.IssuePassportRequest(audience="mail_core", bearer=token, resource=self.resource)
        await self.auth[replica].IssuePassport(request)

    async def issue_and_show(self) -> None:
        turn = len(self.kids)
        await self.show(await self.new(), (turn + 1) % 2)


@pytest.mark.promise("rights.rotation")
async def test_access_token_keys_rotate_on_two_replicas_without_a_refusal(
    system: RunningSystem, tmp_path: Path
) -> None:
    """Tokens of one replica count at the other at every moment; those of before live on, until `--now`."""
    async with contextlib.AsyncExitStack() as stack:
        other = stack.enter_context(second(system, "auth", tmp_path))
        tokens = AccessTokens(system, other, stack)
        former = await tokens.new()
        caller = Caller(tokens.issue_and_show)
        async with caller.calling(2):
            done = await in_background(system, "secrets", "rotate", "--signing", "--publish-s", "2")
            assert done.returncode == 0, done.stderr
            async with asyncio.timeout(20):
                while tokens.kids[-1] == tokens.kids[0]:
                    await asyncio.sleep(0.02)
                seen = len(caller.answers)
                while len(caller.answers) < seen + 20:
                    await asyncio.sleep(0.02)
        assert caller.failures == []
        assert tokens.kids[-1] in done.stdout
        assert len(set(tokens.kids)) == 2
        for replica in (0, 1):
            await tokens.show(former, replica)
        kept = {key["key_id"]: key["state"] for key in signing_keys(system, "access tokens")}
        assert kept.items() >= {tokens.kids[-1]: "signs", tokens.kids[0]: "published"}.items()
        dropped = await in_background(system, "secrets", "rotate", "--signing", "--now")
        assert dropped.returncode == 0, dropped.stderr
        for replica in (0, 1):
            async with asyncio.timeout(1):
                while await reason(tokens.show(former, replica)) == "OK":
                    await asyncio.sleep(0.02)
        await tokens.issue_and_show()


async def reason(work: Awaitable[None]) -> str:
    try:
        await work
    except AppError as error:
        return error.reason
    return "OK"


@pytest.mark.promise("rights.stolen")
async def test_a_stolen_signing_key_is_worthless_within_a_second(system: RunningSystem) -> None:
    """What it signed is refused by the core, cached or not; clients of the edges notice nothing lasting."""
    file = system.data_dir / "secrets" / "passport.pem"
    stolen = file.read_bytes()
    async with passports(system) as source, rest(system, "/v1/mailboxes") as call:
        token = await source.new()
        await source.show(token)
        await call()
        reasons: list[str] = []

        async def until_refused() -> float:
            while file.read_bytes() == stolen:
                await asyncio.sleep(0.001)
            since = time.monotonic()
            while True:
                try:
                    await source.show(token)
                except AppError as error:
                    reasons.append(error.reason)
                    return time.monotonic() - since
                await asyncio.sleep(0.01)

        async with asyncio.timeout(30):
            measuring = asyncio.create_task(until_refused())
            done = await in_background(system, "secrets", "rotate", "--signing", "--now")
            took_s = await measuring
        assert done.returncode == 0, done.stderr
        assert took_s < 1, took_s
        assert reasons == ["PASSPORT_INVALID"]
        # The edge holds a passport of the dropped key: it gets another one, and the client an answer.
        assert await call() == 200
        await source.issue_and_show()
    assert [key["state"] for key in signing_keys(system)] == ["signs"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A passport: who signed it, when it was asked for and given, and what the core said of it."""

    kid: str
    asked_at: float
    given_at: float
    reason: str


class Showing:
    """Gets passports of one replica of auth and shows each to the core at once."""

    def __init__(self, source: Passports, shown: list[Shown]) -> None:
        self._source = source
        self._shown = shown

    async def __call__(self) -> None:
        asked_at = time.monotonic()
        token = await self._source.new()
        given_at, kid = time.monotonic(), str(jwt.get_unverified_header(token)["kid"])
        self._shown.append(Shown(kid, asked_at, given_at, await reason(self._source.show(token))))


@pytest.mark.promise("rights.stolen")
async def test_dropping_keys_at_once_refuses_no_good_call_of_two_replicas(
    system: RunningSystem, tmp_path: Path
) -> None:
    """What the new key signs is believed from the first, and the old one signs no more from then on.

    The core asks one replica for the keys while both sign; clients of either one's edge notice nothing.
    """
    shown: list[Shown] = []
    async with contextlib.AsyncExitStack() as stack:
        auth = stack.enter_context(second(system, "auth", tmp_path))
        edge = stack.enter_context(second(system, "edge_rest", tmp_path, AUTH_ADDRESS=auth.address))
        far = f"http://{edge.addresses['http']}"
        calls = [await stack.enter_async_context(rest(system, "/v1/mailboxes", url)) for url in ("", far)]
        sources = [Passports(system, [each], stack) for each in (system.backends["auth"], auth.address)]
        edges, direct = [Caller(call) for call in calls], [Caller(Showing(each, shown)) for each in sources]
        async with contextlib.AsyncExitStack() as load:
            for caller in (*edges, *direct):
                await load.enter_async_context(caller.calling(2))
            for _ in range(4):
                begun = len(shown)
                done = await in_background(system, "secrets", "rotate", "--signing", "--now")
                assert done.returncode == 0, done.stderr
                async with asyncio.timeout(20):
                    while sum(each.kid in done.stdout for each in shown[begun:]) < 20:
                        await asyncio.sleep(0.02)
                new = [each for each in shown[begun:] if each.kid in done.stdout]
                first = min(each.given_at for each in new)
                old = [each for each in shown[begun:] if each not in new and each.asked_at > first]
                assert ([each for each in new if each.reason != "OK"], old) == ([], [])
        assert [caller.failures for caller in (*edges, *direct)] == [[]] * 4
        assert min(len(caller.answers) for caller in (*edges, *direct)) > 10


def test_a_wrong_question_changes_nothing(system: RunningSystem, tmp_path: Path) -> None:
    """A file that is none, a folder without a system, options that do not go together."""
    before = {path: path.read_bytes() for path in (system.data_dir / "secrets").iterdir()}
    odd = tmp_path / "odd.pem"
    odd.write_text("not a key")
    for arguments, code in (
        (("secrets", "rotate", "--signing", "--oauth-key-file", str(odd)), 1),
        (("secrets", "rotate", "--master-key-file", str(odd)), 1),
        (("secrets", "rotate", "--master-key-file", str(tmp_path / "none")), 1),
        (("secrets", "rotate", "--now"), 1),
        (("secrets", "rotate", "--publish-s", "0"), 2),
        (("secrets", "retire"), 2),
    ):
        assert mailwarden(system, *arguments).returncode == code, arguments
    assert odd.read_text() == "not a key"
    assert [path.name for path in tmp_path.iterdir()] == ["odd.pem"]
    assert {path: path.read_bytes() for path in before} == before
