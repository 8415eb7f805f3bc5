"""Operations as server-sent events (WHATWG HTML §9.2)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.errors import AppError, Kind, exhausted, internal, unavailable
from services.common.proto_json import to_dict
from services.common.telemetry import get_logger

FINAL_STATES: Final = frozenset(
    {
        resources_pb2.OPERATION_STATE_SUCCEEDED,
        resources_pb2.OPERATION_STATE_FAILED,
        resources_pb2.OPERATION_STATE_CANCELLED,
    }
)
CONTENT_TYPE: Final = "text/event-stream"
_RECONNECT_MS: Final = 2_000
_PATIENCE_S: Final = 60.0
"""How long the mail core may stay away before a stream that has begun is given up."""
_PAUSE_S: Final = 0.5
# The core ends its streams when it is restarted; by gRPC that reads as one of these.
_PASSING: Final = frozenset({Kind.UNAVAILABLE, Kind.CANCELLED, Kind.DEADLINE_EXCEEDED})


class Feed:
    """Follows one operation and keeps its newest state: a slow reader misses steps, never the last.

    `mail` is a stub of MailService. Goes on by itself when the mail core is restarted.
    """

    def __init__(self, mail: Any, operation_id: str) -> None:
        self._mail = mail
        self._request = mail_pb2.WatchOperationRequest(id=operation_id)
        self._latest: resources_pb2.Operation | None = None
        self._heard_at = time.monotonic()
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
                if operation is not None and operation.state in FINAL_STATES:
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
            while not (self._latest and self._latest.state in FINAL_STATES):
                await self._watch_once()
        except AppError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - the last stop of a task of its own
            get_logger().exception("unexpected", action="operation_events")
            self._fail(internal())

    async def _watch_once(self) -> None:
        try:
            async for operation in self._mail.WatchOperation(self._request):
                self._offer(operation)
        except AppError as error:
            if not self._may_go_on(error):
                raise
        if self._latest is None or self._latest.state not in FINAL_STATES:
            await asyncio.sleep(_PAUSE_S)

    def _may_go_on(self, error: AppError) -> bool:
        has_patience = time.monotonic() - self._heard_at < _PATIENCE_S
        return self._latest is not None and error.kind in _PASSING and has_patience

    def _offer(self, operation: resources_pb2.Operation) -> None:
        self._heard_at = time.monotonic()
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
        if operation is None or self._response is not None or operation.state not in FINAL_STATES:
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
