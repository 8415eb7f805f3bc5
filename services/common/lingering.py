"""How a connection ends while its client still sends.

A socket that is closed with unread bytes resets the connection, and the client loses the answer that was on
its way (RFC 9112 §9.6). So the answer is followed by our end of the stream, and the rest is read and thrown
away: a bounded amount, for a bounded time.
"""

import asyncio
from collections.abc import Callable
from typing import Final

LINGER_S: Final = 5.0
LINGER_BYTES: Final = 32 * 1024 * 1024


def linger(transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
    """Send what is written, and close when the client has ended too, or has had its time.

    `protocol` hears nothing more of what comes in, only that the connection is lost in the end.
    """
    if transport.is_closing():
        return
    if transport.can_write_eof():
        transport.write_eof()
    transport.set_protocol(_Leftovers(transport, protocol))
    transport.resume_reading()


class UnreadAnswer:
    """Cuts a connection off whose client leaves an answer unread for `write_s`.

    `begun` and `ended` are for the `pause_writing` and `resume_writing` of its protocol.
    """

    def __init__(self, write_s: float) -> None:
        self._write_s = write_s
        self._cut: asyncio.TimerHandle | None = None

    def begun(self, abort: Callable[[], None]) -> None:
        """Wait for the client, but not for ever."""
        self._cut = asyncio.get_running_loop().call_later(self._write_s, abort)

    def ended(self) -> None:
        """The client reads again, or has left."""
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


class _Leftovers(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, former: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._former = former
        self._spare_bytes = LINGER_BYTES
        self._end = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._spare_bytes -= len(data)
        if self._spare_bytes < 0:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._former.pause_writing()

    def resume_writing(self) -> None:
        self._former.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._former.connection_lost(exc)
