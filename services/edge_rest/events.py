"""Operations as server-sent events (WHATWG HTML §9.2)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Final

import orjson
from aiohttp import web

from protos.mail.v1 import resources_pb2
from services.common.errors import AppError, exhausted, internal, unavailable
from services.common.following import is_final, states_of
from services.common.proto_json import to_dict
from services.common.telemetry import get_logger

CONTENT_TYPE: Final = "text/event-stream"
_RECONNECT_MS: Final = 2_000
_PAUSES_S: Final = (0.5,) * 120
"""For how long, some 60 s, the mail core may stay away before a stream that has begun is given up."""


class Feed:
    """Follows one operation and keeps its newest state: a slow reader misses steps, never the last.

    `mail` is a stub of MailService. Goes on by itself when the mail core is restarted.
    """

    def __init__(self, mail: Any, operation_id: str) -> None:
        self._mail = mail
        self._operation_id = operation_id
        self._latest: resources_pb2.Operation | None = None
        self._failure: AppError | None = None
        self._is_closed = False
        self._news = asyncio.Event()

    def close(self) -> None:
        """End the stream in front of the client, because this process stops."""
        self._is_closed = True
        self._news.set()

    async def updates(self, heartbeat_s: float) -> AsyncGenerator[resources_pb2.Operation | None, None]:
        """Iterate over states, ending after the final one; None when nothing happened for a while.

        Raises AppError as WatchOperation does, and UNAVAILABLE when the core stays away.
        """
        pump = asyncio.create_task(self._pump())
        try:
            while not self._is_closed:
                operation = await self._next(heartbeat_s)
                yield operation
                if operation is not None and is_final(operation):
                    return
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _next(self, heartbeat_s: float) -> resources_pb2.Operation | None:
        try:
            async with asyncio.timeout(heartbeat_s):
                await self._news.wait()
        except TimeoutError:
            return None
        self._news.clear()
        if self._failure is not None:
            raise self._failure
        return None if self._is_closed else self._latest

    async def _pump(self) -> None:
        try:
            async with aclosing(
                states_of(self._mail, self._operation_id, _PAUSES_S, is_known=False)
            ) as states:
                async for operation in states:
                    self._offer(operation)
        except AppError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - the last stop of a task of its own
            get_logger().exception("unexpected", action="operation_events")
            self._fail(internal())

    def _offer(self, operation: resources_pb2.Operation) -> None:
        if operation != self._latest:
            self._latest = operation
            self._news.set()

    def _fail(self, error: AppError) -> None:
        self._failure = error
        self._news.set()


class Feeds:
    """The feeds that are open in this process, so that they are bounded and can be ended."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Feed] = set()
        self.is_closed = False

    @contextlib.contextmanager
    def opened(self, mail: Any, operation_id: str) -> Iterator[Feed]:
        """Follow an operation. Raises AppError TOO_MANY_STREAMS, SHUTTING_DOWN."""
        if self.is_closed:
            raise unavailable("SHUTTING_DOWN", "This server is being replaced; another one answers.")
        if len(self._open) >= self._limit:
            raise exhausted("TOO_MANY_STREAMS", "Too many event streams are open here.", retry_after_s=5)
        feed = Feed(mail, operation_id)
        self._open.add(feed)
        try:
            yield feed
        finally:
            self._open.discard(feed)

    def close(self) -> None:
        """End every feed, and open no more."""
        self.is_closed = True
        for feed in self._open:
            feed.close()


class EventStream:
    """One client's stream. It starts with the first thing to say, so that errors before keep their status."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._last_id = request.headers.get("Last-Event-ID", "")
        self._response: web.StreamResponse | None = None

    async def show(self, operation: resources_pb2.Operation | None) -> None:
        """Send a state, or a sign of life."""
        response = await self._started()
        await response.write(b": alive\n\n" if operation is None else operation_event(operation))

    async def show_problem(self, body: dict[str, Any]) -> None:
        """Say why the stream ends before the operation does."""
        response = await self._started()
        await response.write(b"event: problem\ndata: " + orjson.dumps(body) + b"\n\n")

    def has_seen(self, operation: resources_pb2.Operation | None) -> bool:
        """Whether a reconnecting client has already seen this, the final state."""
        if operation is None or self._response is not None or not is_final(operation):
            return False
        return self._last_id == event_id(operation)

    @property
    def has_started(self) -> bool:
        """Whether the client has had a status already."""
        return self._response is not None

    def response(self) -> web.StreamResponse:
        """The answer as it stands; 204 when there was nothing to say, which stops an EventSource for good."""
        return self._response or web.Response(status=204)

    async def _started(self) -> web.StreamResponse:
        if self._response is None:
            # Buffering proxies are told to pass events on at once.
            headers = {"Content-Type": CONTENT_TYPE, "X-Accel-Buffering": "no"}
            self._response = web.StreamResponse(headers=headers)
            await self._response.prepare(self._request)
            await self._response.write(b"retry: %d\n\n" % _RECONNECT_MS)
        return self._response


def operation_event(operation: resources_pb2.Operation) -> bytes:
    """Write a state as an event."""
    data = orjson.dumps(to_dict(operation))
    return b"id: " + event_id(operation).encode() + b"\nevent: operation\ndata: " + data + b"\n\n"


def event_id(operation: resources_pb2.Operation) -> str:
    """Name a state, so that a client that comes back can say what it saw last."""
    return f"{operation.update_time.ToMilliseconds()}-{operation.state}"
