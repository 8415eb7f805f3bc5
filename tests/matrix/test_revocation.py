"""Revocation against what is under way: calls end, streams end, caches end, within a second of each other."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from a2a.types import a2a_pb2
from google.protobuf.json_format import ParseDict
from grpc import aio

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from services.common.grpc_client import Channel
from tests.integration.auth.oauth.world import RESOURCE, Key
from tests.integration.auth.oauth.world import World as Browser
from tests.matrix.authorization import authorizing
from tests.matrix.callers import As
from tests.matrix.entries import A2A, rpcs
from tests.matrix.ways import by_grpc
from tests.matrix.world import Member, World
from tests.pace import Pace

pytestmark = pytest.mark.asyncio(loop_scope="module")

_BOUND_S = 60.0
_WINDOW = {"start": "2026-03-10T09:00:00Z", "end": "2026-03-10T17:00:00Z"}


async def _until(refused: Callable[[], Awaitable[bool]], since: float) -> float:
    async with asyncio.timeout(_BOUND_S):
        while not await refused():
            await asyncio.sleep(0.01)
    return time.monotonic() - since


def _doors(world: World, headers: Mapping[str, str]) -> dict[str, Callable[[], Awaitable[bool]]]:
    """Every edge, for either backend: whether it says 401."""

    async def rest(path: str) -> bool:
        async with world.http.get(world.system.rest + path, headers=headers) as answer:
            return answer.status == 401

    async def mcp() -> bool:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accept = {"Accept": "application/json, text/event-stream"}
        async with world.http.post(world.system.mcp, json=call, headers={**headers, **accept}) as answer:
            return answer.status == 401

    async def a2a() -> bool:
        call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
        version = {"A2A-Version": "1.0"}
        url = f"{world.system.a2a}/a2a/rpc"
        async with world.http.post(url, json=call, headers={**headers, **version}) as answer:
            return answer.status == 401

    async def a2a_grpc() -> bool:
        metadata = {name.lower(): value for name, value in headers.items()}
        method = A2A.methods_by_name["ListTasks"]
        told = await by_grpc(world.agent_wire, method, a2a_pb2.ListTasksRequest(), metadata)
        return told.status == "UNAUTHENTICATED"

    return {
        "REST, auth": lambda: rest("/v1/me"),
        "REST, core": lambda: rest("/v1/mailboxes"),
        "MCP": mcp,
        "A2A": a2a,
        "A2A gRPC": a2a_grpc,
    }


def _cores(world: World, passports: Mapping[str, str]) -> dict[str, Callable[[], Awaitable[bool]]]:
    """Both backends, shown passports that were good: whether they refuse them."""

    async def asked(service: str, rpc: str, request: Any) -> bool:
        metadata = {"x-passport": passports[service]}
        told = await by_grpc(world.wire(service, "edge_rest"), rpcs()[rpc], request, metadata)
        return told.reason == "PASSPORT_REVOKED"

    return {
        "passport at auth": lambda: asked("auth", "AuthService.GetMe", auth_pb2.GetMeRequest()),
        "passport at the core": lambda: asked(
            "mail_core", "MailService.ListMailboxes", mail_pb2.ListMailboxesRequest()
        ),
    }


async def _measured(world: World, doors: Mapping[str, Callable[[], Awaitable[bool]]], revoke: Any) -> None:
    """Warm every cache, revoke, and see every door close in time."""
    for name, refused in doors.items():
        assert not await refused(), name
    async with Pace(world.http, world.system.rest) as pace:
        await revoke()
        since = time.monotonic()
        took = await asyncio.gather(*(_until(refused, since) for refused in doors.values()))
    told = {name: f"{seconds * 1000:.0f} ms" for name, seconds in zip(doors, took, strict=True)}
    print("refused after", told, f"of {pace.allowed_s * 1000:.0f} ms")  # noqa: T201
    assert max(took) < pace.allowed_s, told


async def _passports(world: World, secret: str) -> dict[str, str]:
    method = rpcs()["AuthService.IssuePassport"]
    made = {}
    for service in ("auth", "mail_core"):
        wire = world.wire("auth", "edge_rest")
        call = wire.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            auth_pb2.IssuePassportRequest.SerializeToString,
            auth_pb2.IssuePassportResponse.FromString,
        )
        made[service] = (
            await call(auth_pb2.IssuePassportRequest(api_key=secret, audience=service))
        ).passport.token
    return made


@pytest.mark.promise("revocation.second")
async def test_a_revoked_key_closes_every_door_within_a_second(world: World) -> None:
    """Edges with warm caches, backends with passports that they have verified before."""
    member = await world.key("victim")
    doors = _doors(world, {"X-API-Key": member.secret})
    cores = _cores(world, await _passports(world, member.secret))
    await _measured(world, {**doors, **cores}, lambda: world.revoke(member.key_id))


@pytest.mark.promise("revocation.second")
async def test_a_team_that_is_switched_off_is_off_within_a_second(world: World) -> None:
    """Every key of it, at every door; on again, it works again."""
    team_id = await world.spare_team("Switched off")
    member = await world.key("member", team_id=team_id)
    doors = _doors(world, {"X-API-Key": member.secret})
    cores = _cores(world, await _passports(world, member.secret))

    async def switch(*, off: bool) -> None:
        await world.operator.UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team_id, disabled=off))

    await _measured(world, {**doors, **cores}, lambda: switch(off=True))
    await switch(off=False)
    for name, refused in doors.items():

        async def welcome(refused: Callable[[], Awaitable[bool]] = refused) -> bool:
            return not await refused()

        assert await _until(welcome, time.monotonic()) < _BOUND_S, name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with authorizing(world.system, tmp_path_factory.mktemp("authorization")) as made:
        yield made


@pytest.mark.promise("revocation.second")
@pytest.mark.parametrize("what", ["access token", "refresh token", "key behind the consent"])
async def test_what_a_token_became_ends_with_it_within_a_second(
    what: str, world: World, browser: Browser
) -> None:
    """A passport made from an access token, known to the core; then what it hangs on is revoked."""
    signer = await world.key("signer")
    admin = Key(signer.key_id, signer.secret, world.team_id)
    client = (await browser.register())["client_id"]
    granted = (await browser.redeem(client, await browser.code(client, admin))).json
    channel = Channel(browser.admin_url, "auth", world.tls("edge_mcp"))
    passport = await _foreign_passport(channel.wire(), granted["access_token"])
    cores = {"core": _cores(world, {"mail_core": passport, "auth": ""})["passport at the core"]}

    async def revoke() -> None:
        if what == "key behind the consent":
            await world.revoke(signer.key_id)
            return
        token = granted["access_token" if what == "access token" else "refresh_token"]
        form = {"client_id": client, "token": token}
        assert (await browser.call("POST", "/oauth/revoke", data=form)).status == 200

    await _measured(world, cores, revoke)
    method = rpcs()["AuthService.IssuePassport"]
    request = auth_pb2.IssuePassportRequest(
        bearer=granted["access_token"], audience="mail_core", resource=RESOURCE
    )
    assert (await by_grpc(channel.wire(), method, request, {})).status == "UNAUTHENTICATED"
    await channel.close()


async def _foreign_passport(wire: aio.Channel, token: str) -> str:
    call = wire.unary_unary(
        "/mailwarden.auth.v1.AuthService/IssuePassport",
        auth_pb2.IssuePassportRequest.SerializeToString,
        auth_pb2.IssuePassportResponse.FromString,
    )
    request = auth_pb2.IssuePassportRequest(bearer=token, audience="mail_core", resource=RESOURCE)
    return (await call(request)).passport.token


# --- calls and streams that are under way


@asynccontextmanager
async def _google_slow(world: World, method: str, delay_s: float) -> AsyncIterator[None]:
    """While the block runs, one kind of Google's calls takes its time."""
    order = {"api": [{"method": method, "count": 100, "delay_s": delay_s}]}
    async with world.http.post(f"{world.system.sandbox}/sandbox/faults", json=order) as answer:
        assert answer.status == 200, await answer.text()
    try:
        yield
    finally:
        async with world.http.post(f"{world.system.sandbox}/sandbox/faults", json={"clear": True}) as answer:
            assert answer.status == 200


@pytest.mark.promise("revocation.in-flight")
async def test_a_call_that_was_admitted_ends_and_the_next_is_refused(world: World) -> None:
    """The key is taken back while Google makes the core wait."""
    member = await world.key("victim")
    doors = _doors(world, {"X-API-Key": member.secret})
    assert not await doors["REST, core"]()
    headers = {"X-API-Key": member.secret}
    async with _google_slow(world, "calendar.freebusy.query", 3.0):
        url = f"{world.system.rest}/v1/availability"
        asked = asyncio.create_task(_status(world, url, headers))
        await _reached(world, "calendar.freebusy.query")
        await world.revoke(member.key_id)
        await _until(doors["REST, core"], time.monotonic())
        assert not asked.done(), "the call was over before the revocation was heard of"
        assert await asked == 200
    assert await _status(world, url, headers) == 401


async def _status(world: World, url: str, headers: Mapping[str, str]) -> int:
    async with world.http.post(url, json=_WINDOW, headers=headers) as answer:
        return answer.status


async def _reached(world: World, method: str) -> None:
    """Wait until Google has been asked: the order of a delay has been taken up."""
    async with asyncio.timeout(_BOUND_S):
        while True:
            async with world.http.post(f"{world.system.sandbox}/sandbox/faults", json={}) as answer:
                if (await answer.json())["waiting"] < 100:
                    return
            await asyncio.sleep(0.02)


class Streams:
    """Every kind of stream there is, on a scan that takes long or a task that waits, opened with one key."""

    def __init__(self, world: World, member: Member) -> None:
        self.world = world
        self.key_id = member.key_id
        self.headers = {"X-API-Key": member.secret}
        self.open: dict[str, asyncio.Event] = {}

    def all(self, operation_id: str, passport: str) -> dict[str, Any]:
        return {
            "REST events": self.rest(operation_id),
            "MCP progress": self.mcp(),
            "A2A JSON-RPC": self.a2a_json_rpc(),
            "A2A HTTP+JSON": self.a2a_http_json(),
            "A2A gRPC": self.a2a_grpc(),
            "WatchOperation": self.core(operation_id, passport),
        }

    async def rest(self, operation_id: str) -> str:
        url = f"{self.world.system.rest}/v1/operations/{operation_id}/events"
        async with self.world.http.get(url, headers=self.headers, timeout=_LONG) as answer:
            return await self._read("REST events", answer)

    async def mcp(self) -> str:
        arguments = {"mailbox_id": self.world.mailbox_id, "dry_run": True, "request_id": str(uuid4())}
        params = {"name": "scan_mailbox", "arguments": arguments, "_meta": {"progressToken": "p"}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {**self.headers, "Accept": "application/json, text/event-stream"}
        url = self.world.system.mcp
        self.open["MCP progress"].set()  # it may have nothing to tell before the scan is at work
        async with self.world.http.post(url, json=call, headers=headers, timeout=_LONG) as answer:
            return await self._read("MCP progress", answer)

    async def a2a_json_rpc(self) -> str:
        params = self._message()
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": params}
        headers = {**self.headers, "A2A-Version": "1.0"}
        url = f"{self.world.system.a2a}/a2a/rpc"
        async with self.world.http.post(url, json=call, headers=headers, timeout=_LONG) as answer:
            return await self._read("A2A JSON-RPC", answer)

    async def a2a_http_json(self) -> str:
        headers = {**self.headers, "A2A-Version": "1.0"}
        url, body = f"{self.world.system.a2a}/a2a/v1/message:stream", self._message()
        async with self.world.http.post(url, json=body, headers=headers, timeout=_LONG) as answer:
            return await self._read("A2A HTTP+JSON", answer)

    async def a2a_grpc(self) -> str:
        request = ParseDict(self._message(), a2a_pb2.SendMessageRequest())
        call = self.world.agent_wire.unary_stream(
            f"/{A2A.full_name}/SendStreamingMessage",
            a2a_pb2.SendMessageRequest.SerializeToString,
            a2a_pb2.StreamResponse.FromString,
        )
        metadata = [("x-api-key", self.headers["X-API-Key"]), ("a2a-version", "1.0")]
        return await self._heard("A2A gRPC", call(request, metadata=metadata))

    async def core(self, operation_id: str, passport: str) -> str:
        call = self.world.wire("mail_core", "edge_rest").unary_stream(
            "/mailwarden.mail.v1.MailService/WatchOperation",
            mail_pb2.WatchOperationRequest.SerializeToString,
            lambda raw: raw,
        )
        request = mail_pb2.WatchOperationRequest(id=operation_id)
        return await self._heard("WatchOperation", call(request, metadata=[("x-passport", passport)]))

    def _message(self) -> dict[str, Any]:
        data = {"action": "scan_mailbox", "mailbox_id": self.world.mailbox_id, "dry_run": True}
        parts = [{"data": data}]
        return {"message": {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": parts}}

    def waiting(self, task_id: str) -> dict[str, Any]:
        """Subscriptions to a task that waits for its caller, on every binding of A2A."""
        return {
            "A2A JSON-RPC": self.waiting_json_rpc(task_id),
            "A2A HTTP+JSON": self.waiting_http_json(task_id),
            "A2A gRPC": self.waiting_grpc(task_id),
        }

    async def waiting_task(self) -> str:
        """Send a message that is not understood; gives the id of the task that asks back."""
        message = {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": [{"text": "am I free?"}]}
        url, headers = f"{self.world.system.a2a}/a2a/v1/message:send", {**self.headers, "A2A-Version": "1.0"}
        async with self.world.http.post(url, json={"message": message}, headers=headers) as answer:
            task = (await answer.json())["task"]
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        return task["id"]

    async def waiting_json_rpc(self, task_id: str) -> str:
        call = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task_id}}
        headers = {**self.headers, "A2A-Version": "1.0"}
        url = f"{self.world.system.a2a}/a2a/rpc"
        async with self.world.http.post(url, json=call, headers=headers, timeout=_LONG) as answer:
            return await self._read("A2A JSON-RPC", answer)

    async def waiting_http_json(self, task_id: str) -> str:
        headers = {**self.headers, "A2A-Version": "1.0"}
        url = f"{self.world.system.a2a}/a2a/v1/tasks/{task_id}:subscribe"
        async with self.world.http.get(url, headers=headers, timeout=_LONG) as answer:
            return await self._read("A2A HTTP+JSON", answer)

    async def waiting_grpc(self, task_id: str) -> str:
        call = self.world.agent_wire.unary_stream(
            f"/{A2A.full_name}/SubscribeToTask",
            a2a_pb2.SubscribeToTaskRequest.SerializeToString,
            a2a_pb2.StreamResponse.FromString,
        )
        metadata = [("x-api-key", self.headers["X-API-Key"]), ("a2a-version", "1.0")]
        return await self._heard(
            "A2A gRPC", call(a2a_pb2.SubscribeToTaskRequest(id=task_id), metadata=metadata)
        )

    async def _read(self, name: str, answer: aiohttp.ClientResponse) -> str:
        assert answer.status == 200, await answer.text()
        heard = b""
        async for line in answer.content:
            heard += line
            if line.startswith(b"data:"):
                self.open[name].set()
        return heard.decode()

    async def _heard(self, name: str, stream: Any) -> str:
        try:
            async for _ in stream:
                self.open[name].set()
        except aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        return "ended"


_LONG = aiohttp.ClientTimeout(total=_BOUND_S)


@pytest.mark.promise("revocation.streams")
async def test_an_open_stream_ends_with_its_key(world: World) -> None:
    """On a scan for which Google takes its time: silent streams, on every edge, end at the revocation."""
    member = await world.key("victim")
    headers = {"X-API-Key": member.secret}
    passport = (await _passports(world, member.secret))["mail_core"]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_google_slow(world, "gmail.users.messages.list", 40.0))
        url = f"{world.system.rest}/v1/mailboxes/{world.mailbox_id}/scans"
        async with world.http.post(url, json={"dry_run": True}, headers=headers) as answer:
            operation_id = (await answer.json())["id"]
        streams = Streams(world, member)
        told = streams.all(operation_id, passport)
        streams.open = {name: asyncio.Event() for name in told}
        tasks = {name: asyncio.create_task(work) for name, work in told.items()}
        async with asyncio.timeout(_BOUND_S):
            await asyncio.gather(*(event.wait() for event in streams.open.values()))
            await _asked_by_all(world, member, len(told) - 1)
        assert not [name for name, task in tasks.items() if task.done()]
        async with Pace(world.http, world.system.rest) as pace:
            await world.revoke(member.key_id)
            since = time.monotonic()
            ended = {name: asyncio.create_task(_ended(task, since)) for name, task in tasks.items()}
            took = {name: await task for name, task in ended.items()}
        print("streams ended after", took)  # noqa: T201
        assert max(took.values()) < pace.allowed_s, took
        for name, task in tasks.items():
            assert "succeeded" not in task.result().lower(), (name, task.result())
            assert "TASK_STATE_COMPLETED" not in task.result(), (name, task.result())
    await _cancel_all(world)


@pytest.mark.promise("revocation.streams")
async def test_a_stream_on_a_task_that_waits_ends_with_its_key(world: World) -> None:
    """No backend has anything to tell on it: the A2A edge itself ends it, on every binding, and says why."""
    streams = Streams(world, await world.key("victim"))
    told = streams.waiting(await streams.waiting_task())
    streams.open = {name: asyncio.Event() for name in told}
    tasks = {name: asyncio.create_task(work) for name, work in told.items()}
    async with asyncio.timeout(_BOUND_S):
        await asyncio.gather(*(event.wait() for event in streams.open.values()))
    assert not [name for name, task in tasks.items() if task.done()]
    async with Pace(world.http, world.system.rest) as pace:
        await world.revoke(streams.key_id)
        since = time.monotonic()
        took = await asyncio.gather(*(_ended(task, since) for task in tasks.values()))
    print("streams ended after", dict(zip(tasks, took, strict=True)))  # noqa: T201
    assert max(took) < pace.allowed_s, took
    for name, task in tasks.items():
        assert "revoked" in task.result(), (name, task.result())


async def _ended(task: "asyncio.Task[str]", since: float) -> float:
    async with asyncio.timeout(_BOUND_S):
        await asyncio.wait([task])
    return round(time.monotonic() - since, 3)


async def _asked_by_all(world: World, member: Member, count: int) -> None:
    """Wait until the core has taken up the scan of every stream."""
    connection = await world.database("mailwarden_mail")
    query = "SELECT count(*) FROM operations WHERE principal = %s"
    while True:
        row = await (await connection.execute(query, (f"key:{member.key_id}",))).fetchone()
        if row is not None and row[0] >= count:
            return
        await asyncio.sleep(0.05)


async def _cancel_all(world: World) -> None:
    """Leave no scan behind for the tests that follow."""
    headers = await world.credential(As.ADMIN)
    connection = await world.database("mailwarden_mail")
    query = "SELECT id::text FROM operations WHERE state IN ('queued', 'running', 'pending')"
    for (operation_id,) in await (await connection.execute(query)).fetchall():
        url = f"{world.system.rest}/v1/operations/{operation_id}/cancel"
        async with world.http.post(url, headers=headers) as answer:
            assert answer.status in {200, 404}, await answer.text()
