"""The load generator: a closed loop over kept-alive connections, one request at a time on each.

A process of its own, so that what it costs is not in what it measures. Reads one order a line on
standard input, writes one result a line; ends when its input does.
"""

import asyncio
import json
import re
import sys
import time
from array import array
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SETTLE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask for, on how many connections, for how long."""

    url: str
    headers: dict[str, str]
    connections: int
    seconds: float

    def request(self) -> bytes:
        """The request, byte for byte."""
        parts = urlsplit(self.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an order. `failed` counts answers that were not 200 and connections that broke."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    own_cpu_s: float


@dataclass(slots=True)
class _Tally:
    latencies_ns: array = field(default_factory=lambda: array("q"))
    failed: int = 0


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the one before is complete."""

    def __init__(self, request: bytes, until: float, tally: _Tally) -> None:
        self._request, self._until, self._tally = request, until, tally
        self._received = b""
        self._sent_at = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._received, 0, head)
        if length is None or len(self._received) < head + 4 + int(length[1]):
            return
        self._tally.latencies_ns.append(time.perf_counter_ns() - self._sent_at)
        self._tally.failed += not self._received.startswith(b"HTTP/1.1 200 ")
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._tally.failed += 1
            self.done.set_result(None)

    def _send(self) -> None:
        if time.monotonic() >= self._until:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter_ns()
        self._transport.write(self._request)


async def run(order: Order) -> Result:
    """Carry out one order."""
    loop, tally, request = asyncio.get_running_loop(), _Tally(), order.request()
    address = urlsplit(order.url)
    began, began_cpu = time.monotonic(), time.process_time()
    until = began + order.seconds
    opening = (
        loop.create_connection(lambda: _Connection(request, until, tally), address.hostname, address.port)
        for _ in range(order.connections)
    )
    connections = [protocol for _, protocol in await asyncio.gather(*opening)]
    async with asyncio.timeout(order.seconds + _SETTLE_S):
        await asyncio.gather(*(connection.done for connection in connections))
    return _result(tally, time.monotonic() - began, time.process_time() - began_cpu)


def _result(tally: _Tally, seconds: float, own_cpu_s: float) -> Result:
    latencies = sorted(tally.latencies_ns) or [0]

    def percentile_ms(share: float) -> float:
        return latencies[min(int(len(latencies) * share), len(latencies) - 1)] / 1e6

    return Result(
        requests=len(tally.latencies_ns),
        failed=tally.failed,
        seconds=seconds,
        p50_ms=percentile_ms(0.5),
        p99_ms=percentile_ms(0.99),
        own_cpu_s=own_cpu_s,
    )


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin:
        result = uvloop.run(run(Order(**json.loads(line))))
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
