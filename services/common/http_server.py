"""uvicorn as a part of our process (MCP, A2A): our socket, our signals, our drain, our bounds and refusals.

The only module that knows uvicorn.
"""

import asyncio
import contextlib
import math
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.common.asgi_edge import Asgi
from services.common.context import request_id_from
from services.common.edge import REQUEST_ID_HEADER
from services.common.errors import AppError
from services.common.lifecycle import join_address, split_address
from services.common.lingering import LINGER_BYTES, UnreadAnswer, linger
from services.common.problem import CONTENT_TYPE, problem_of, unreadable
from services.common.telemetry import get_logger

_MAX_HEAD_BYTES: Final = 64 * 1024
_BACKLOG: Final = 2_048


class HttpServer:
    """Listens on one address and serves one ASGI application there.

    A connection may take `idle_s` to send the head of its next request, the first included, and leave an
    answer unread for `write_s`.
    """

    def __init__(self, listen: str, *, drain_s: float, idle_s: float = 75.0, write_s: float = 30.0) -> None:
        """Bind, so that the address is known before anything is served. Raises OSError."""
        self._socket = _bound(listen)
        self._drain_s = drain_s
        self._idle_s = idle_s
        self._write_s = write_s

    @property
    def address(self) -> str:
        """Where we listen, as `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return join_address(host, port)

    @contextlib.asynccontextmanager
    async def serving(self, app: Asgi) -> AsyncIterator[None]:
        """Serve inside the block, then let requests in flight finish within the drain time.

        Raises what the start of the application failed with.
        """
        server = _Server(self._config(app))
        running = asyncio.create_task(server.serve(sockets=[self._socket]))
        try:
            await server.until_started(running)
            yield
        finally:
            server.should_exit = True
            try:
                await running
            finally:
                self._socket.close()  # uvicorn leaves it open when the application did not start

    def _config(self, app: Asgi) -> uvicorn.Config:
        return uvicorn.Config(
            app,  # type: ignore[arg-type]
            loop="none",
            http=partial(_Connection, write_s=self._write_s),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self._idle_s,  # type: ignore[arg-type]  a timer takes parts of a second
            timeout_graceful_shutdown=math.ceil(self._drain_s),
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._has_started = asyncio.Event()

    async def until_started(self, running: "asyncio.Task[None]") -> None:
        """Wait until requests are served, or until `running` ended without."""
        started = asyncio.create_task(self._has_started.wait())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if running.done():
            running.result()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start, and say so."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn would take the process along
            raise RuntimeError("the application did not start; the log says why") from None
        self._has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the lifecycle has them."""
        yield


class _Connection(H11Protocol):
    """One client's connection, with bounds for those who are slow and our words for what cannot be read."""

    def __init__(self, *args: Any, write_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = UnreadAnswer(write_s)
        self._spare_bytes = LINGER_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, not for ever."""
        patient = _PatientTransport(transport, self, self._client_is_sending)
        super().connection_made(cast("asyncio.Transport", patient))
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Take in what arrived. A byte does not stop the clock, as it would by itself: a whole head does."""
        if self.conn.our_state is h11.DONE:
            # What is left of a body whose request is answered already.
            self._spare_bytes -= len(data)
            if self._spare_bytes < 0:
                self.transport.abort()
                return
        self.conn.receive_data(data)
        self.handle_events()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._spare_bytes = LINGER_BYTES
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read with a problem, and end the connection."""
        del msg
        error = sys.exception()  # the parser's, which is being handled
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(self._refusal(unreadable(is_too_large=_is_too_large(error))))
        if self.cycle is not None and not self.cycle.response_complete:
            # The application still reads this request's body: for it the client has left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read what we write: wait, but not for ever."""
        super().pause_writing()
        self._unread.begun(self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._unread.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._unread.ended()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _client_is_sending(self) -> bool:
        return self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _refusal(self, error: AppError) -> bytes:
        request_id = request_id_from(None)
        get_logger().info("request", route="unreadable", reason=error.reason, request_id=request_id)
        problem = problem_of(error, request_id=request_id, instance="")
        body = orjson.dumps(problem.body)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            REQUEST_ID_HEADER: request_id,
            "X-Content-Type-Options": "nosniff",
        }
        status = HTTPStatus(problem.status)
        start = h11.Response(status_code=status, headers=list(headers.items()), reason=status.phrase)
        parts = (start, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)


def _is_too_large(error: BaseException | None) -> bool:
    hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 0
    return hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class _PatientTransport:
    """A transport that lets the client see the answer before it closes, also where that still sends."""

    def __init__(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, client_is_sending: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._client_is_sending = client_is_sending
        self._is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close; at once when asked a second time."""
        if self._is_lingering or not self._client_is_sending():
            self._transport.close()
        else:
            self._is_lingering = True
            linger(self._transport, self._protocol)


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    bound.setblocking(False)
    return bound
