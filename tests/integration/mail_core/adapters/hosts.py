"""Raw hosts that answer exactly what a test says, byte for byte, and remember what they were sent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Host:
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    at_once: int = 0

    @property
    def only_request(self) -> bytes:
        (request,) = self.requests
        return request

    @property
    def head(self) -> str:
        return self.only_request.partition(b"\r\n\r\n")[0].decode().lower()


def answering(raw: bytes) -> Behaviour:
    async def behave(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return behave


def status(code: int, *headers: str, body: bytes = b"") -> Behaviour:
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return answering("\r\n".join([*lines, "", ""]).encode() + body)


@contextlib.asynccontextmanager
async def host(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    """Serve one behaviour on a port of the loopback for the length of the block."""
    served = Host()

    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        served.connections += 1
        served.at_once += 1
        served.most_at_once = max(served.most_at_once, served.at_once)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                request = await _read_request(reader)
                served.requests.append(request)
                await behave(request, writer)
        finally:
            served.at_once -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.decode().splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return head + await reader.readexactly(length)
