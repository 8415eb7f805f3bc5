"""Fixed bytes from a bare socket: as fast as any server can answer here, so the load generator's ceiling."""

import asyncio
from typing import Any

import uvloop

from tests.bench.serving import announce, listening, settings


class _Fixed(asyncio.Protocol):
    answer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self.answer)


async def main() -> None:
    """Serve until killed."""
    body = b"x" * settings()["bytes"]
    _Fixed.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    listener = listening()
    server = await asyncio.get_running_loop().create_server(_Fixed, sock=listener)
    announce(listener)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
