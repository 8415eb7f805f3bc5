"""Slow, greedy and malformed clients at every door that speaks HTTP: all doors behave the same."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.common import lingering
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.wiring import serving as serving_mcp
from tests.fakes.a2a_edge import running_a2a_edge
from tests.fakes.grpc_backends import API_KEY, running_backends
from tests.fakes.rest_edge import running_rest_edge
from tests.integration.auth.oauth.world import running_world
from tests.postgres import Databases

BOUND_S = 20
EDGES = ("REST", "MCP", "A2A")
DOORS = (*EDGES, "OAuth")
TEN_MB = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens, and a head of a request that it takes a body of."""

    host: str
    port: int
    path: str
    headers: str

    def head(self, *more: str) -> bytes:
        lines = (f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", self.headers, *more)
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_last: bool
    """Whether it says that the connection ends with it (HTTP/1.0 says it by itself)."""

    @classmethod
    def of(cls, raw: bytes) -> "Told":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0]
        version, status, _ = first.split(" ", 2)
        is_last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
        return cls(int(status), headers, body, is_last)


@asynccontextmanager
async def opened(
    door: str, folder: Path, request: pytest.FixtureRequest, **settings: Any
) -> AsyncIterator[Door]:
    """Open one door, in front of fakes, or of a database where there are none."""
    key = f"X-API-Key: {API_KEY}\r\nContent-Type: application/json"
    if door == "REST":
        async with running_rest_edge(folder, **settings) as rest:
            yield _door(rest.address, "/v1/availability", key)
    elif door == "A2A":
        async with running_a2a_edge(folder, **settings) as a2a:
            yield _door(a2a.url.removeprefix("http://"), "/a2a/rpc", f"{key}\r\nA2A-Version: 1.0")
    elif door == "MCP":
        async with running_backends(folder) as backends:
            environment = {name.lower(): value for name, value in backends.environment("edge_mcp").items()}
            async with serving_mcp(McpSettings(**{"drain_s": 1, **environment, **settings})) as url:
                address = url.removeprefix("http://").removesuffix("/mcp")
                yield _door(address, "/mcp", f"{key}\r\nAccept: application/json, text/event-stream")
    else:
        databases: Databases = request.getfixturevalue("databases")
        async with running_world(databases, folder) as world:
            form = "Content-Type: application/x-www-form-urlencoded"
            yield _door(world.issuer.removeprefix("http://"), "/oauth/token", form)


def _door(address: str, path: str, headers: str) -> Door:
    host, _, port = address.rpartition(":")
    return Door(host, int(port), path, headers)


async def exchange(door: Door, parts: Iterable[bytes]) -> bytes:
    """Send everything, and only then read to the end, as many clients do."""

    def talk() -> bytes:
        with socket.create_connection((door.host, door.port), timeout=BOUND_S) as connection:
            for part in parts:
                connection.sendall(part)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    return await asyncio.to_thread(talk)


def _is_typed(told: Told, reason: str) -> None:
    said = json.loads(told.body)
    assert told.headers["x-content-type-options"] == "nosniff"
    if "error" in said:  # in the words of OAuth
        assert said["error"] == "invalid_request"
        assert told.headers["x-request-id"]
    else:
        assert told.headers["content-type"] == "application/problem+json"
        assert (said["status"], said["reason"]) == (told.status, reason)
        assert said["request_id"] == told.headers["x-request-id"]


def _chunked(size: int) -> Iterable[bytes]:
    piece = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    yield from (piece for _ in range(size // 0x10000))
    yield b"0\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.promise("input.size", "input.slow")
@pytest.mark.parametrize("how", ["declared", "chunked", "and goodbye"])
@pytest.mark.parametrize("door", DOORS)
async def test_who_sends_too_much_reads_why(
    door: str, how: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """413 and the end of the connection, not its reset, for a client that sends it all before it reads."""
    async with opened(door, folder, request) as opening:
        if how == "chunked":
            parts = [opening.head("Transfer-Encoding: chunked"), *_chunked(TEN_MB)]
        else:
            goodbye = ("Connection: close",) if how == "and goodbye" else ()
            parts = [opening.head(f"Content-Length: {TEN_MB}", *goodbye), b"a" * TEN_MB]
        told = Told.of(await exchange(opening, parts))
    assert told.status == 413
    assert told.is_last
    _is_typed(told, "BODY_TOO_LARGE")


@pytest.mark.parametrize("door", EDGES)
async def test_who_may_not_even_enter_reads_why(
    door: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """401 comes before the body is looked at; the connection lives on for a client that ends its body."""
    async with opened(door, folder, request) as opening:
        head = opening.head(f"Content-Length: {TEN_MB}").replace(API_KEY.encode(), b"ma_wrong")
        last = opening.head("Content-Length: 0", "Connection: close").replace(API_KEY.encode(), b"ma_wrong")
        raw = await exchange(opening, [head, b"a" * TEN_MB, last])
    assert raw.count(b"HTTP/1.1 401") == 2
    assert b"CREDENTIAL_INVALID" in raw


@pytest.mark.promise("input.slow")
@pytest.mark.parametrize("how", ["too much", "for ever"])
@pytest.mark.parametrize("door", DOORS)
async def test_who_never_stops_sending_is_cut_off(
    door: str, how: str, folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read after the answer is bounded, in amount and in time."""
    if how == "too much":
        monkeypatch.setattr(lingering, "LINGER_BYTES", TEN_MB)
    else:
        monkeypatch.setattr(lingering, "LINGER_S", 1.0)
    async with opened(door, folder, request) as opening, asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection(opening.host, opening.port)
        writer.write(opening.head("Content-Length: 99999999999"))
        piece = b"a" * 65_536 if how == "too much" else b"a"
        assert (await reader.read()).startswith(b"HTTP/1.1 413")
        gone = asyncio.ensure_future(writer.wait_closed())
        while not (await asyncio.wait({gone}, timeout=0 if how == "too much" else 0.05))[0]:
            writer.write(piece)
        assert isinstance(gone.exception(), ConnectionError | None)


MALFORMED = {
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\nHost: a\r\n: xxxx-secret\r\n\r\n", 400),
    "no length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: xxxx\r\n\r\n", 400),
    "two framings": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: xxxx\r\n\r\n",
        400,
    ),
    "no end": (b"GET /health HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 2_000_000, 431),
}


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize("door", DOORS)
async def test_what_is_not_http_gets_the_doors_own_error(
    door: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """In the form of its other errors, with the same headers; nothing of the request is told again."""
    async with opened(door, folder, request) as opening:
        for name, (raw, status) in MALFORMED.items():
            told = Told.of(await exchange(opening, [raw]))
            assert told.status == status, name
            assert told.is_last, name
            assert "uvicorn" not in told.headers.get("server", ""), name
            _is_typed(told, "HTTP_MALFORMED" if status == 400 else "HEADERS_TOO_LARGE")
            assert b"xxxx" not in told.body, name


@pytest.mark.parametrize("how", ["at once", "in pieces"])
@pytest.mark.parametrize("door", DOORS)
async def test_a_body_that_breaks_its_framing_is_refused(
    door: str, how: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """After the request has begun: one answer, typed, at once, and the end."""
    async with opened(door, folder, request) as opening, asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection(opening.host, opening.port)
        begun = opening.head("Transfer-Encoding: chunked", "Expect: 100-continue") + b"1\r\n{\r\n"
        writer.write(begun)
        if how == "in pieces":
            await reader.readuntil(b"100 Continue\r\n\r\n")  # the body is waited for
        writer.write(b"xxxx\r\n" * 3)
        raw = (await reader.read()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.close()
    told = Told.of(raw)
    assert raw.count(b"HTTP/1.") == 1
    assert told.status == 400
    assert told.is_last
    assert json.loads(told.body)
    assert b"xxxx" not in told.body


@pytest.mark.parametrize("door", DOORS)
async def test_a_body_behind_another_request_is_watched_too(
    door: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """The answer to the first request, sent in one go with the head of the second, ends nothing."""
    async with opened(door, folder, request) as opening, asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection(opening.host, opening.port)
        second = opening.head("Transfer-Encoding: chunked", "Expect: 100-continue")
        writer.write(opening.head("Content-Length: 2") + b"{}" + second)
        await reader.readuntil(b"100 Continue\r\n\r\n")  # the first is answered, a body is waited for
        writer.write(b"xxxx\r\n" * 3)
        told = Told.of(await reader.read())
        writer.close()
    assert told.status == 400
    assert told.is_last


@pytest.mark.parametrize("door", DOORS)
async def test_a_body_of_two_framings_is_refused_and_nothing_behind_it_is_read(
    door: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """A proxy that goes by the other one would take what follows for the request of somebody else."""
    async with opened(door, folder, request) as opening:
        doubtful = opening.head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
        raw = await exchange(opening, [doubtful + opening.head("Content-Length: 2") + b"{}"])
    told = Told.of(raw)
    assert raw.count(b"HTTP/1.") == 1
    assert told.status == 400
    assert told.is_last
    _is_typed(told, "HTTP_MALFORMED")


@pytest.mark.promise("input.slow")
@pytest.mark.parametrize("how", ["silent", "half a head", "half a second head"])
@pytest.mark.parametrize("door", EDGES)
async def test_who_does_not_finish_a_head_is_cut_off(
    door: str, how: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """Neither silence nor a byte now and then holds a connection for ever."""
    async with opened(door, folder, request, idle_timeout_s=1) as opening, asyncio.timeout(BOUND_S):
        reader, writer = await asyncio.open_connection(opening.host, opening.port)
        if how == "half a second head":
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b'{"status":"ok"}')
        if how != "silent":
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert await _answer_while_dripping(reader, writer if how != "silent" else None) in {
            b"",
            b"0\r\n\r\n",
        }
        writer.close()


async def _answer_while_dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> bytes:
    """Read to the end, sending a byte now and then."""
    reading = asyncio.ensure_future(reader.read())
    while not (await asyncio.wait({reading}, timeout=0.1))[0]:
        if writer is not None:
            writer.write(b"x")
    return reading.result()


@pytest.mark.parametrize("door", EDGES)
async def test_a_body_that_does_not_arrive_is_refused(
    door: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """The client is told why, and the connection ends."""
    async with opened(door, folder, request, body_timeout_s=1) as opening:
        told = Told.of(await exchange(opening, [opening.head("Content-Length: 100"), b"{"]))
    assert told.status == 408
    assert told.is_last
    _is_typed(told, "BODY_TIMEOUT")
