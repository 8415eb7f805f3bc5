"""What every Google call goes through: route, token, faults, quota, handler, partial response."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from services.sandbox import fields
from services.sandbox.arguments import Body, Query
from services.sandbox.errors import (
    ApiError,
    ConnectionDropped,
    delegation_denied,
    invalid,
    not_found,
    too_large,
    unauthenticated,
)
from services.sandbox.faults import Fault, suffer
from services.sandbox.world import World

JSON_LIMIT_BYTES = 1 << 20
MAIL_LIMIT_BYTES = 36 << 20  # Gmail takes messages up to 35 MB
_SEND = "gmail.users.messages.send"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request, alone or as part of a batch. Header names are lower case."""

    verb: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def overridden(self) -> "ApiRequest":
        """Undo X-HTTP-Method-Override, by which clients send a GET whose URL would be too long."""
        verb = self.headers.get("x-http-method-override", "").upper()
        if self.verb != "POST" or verb != "GET":
            return self
        path = self.target.partition("?")[0]
        return ApiRequest("GET", f"{path}?{self.body.decode(errors='replace')}", self.headers, b"")

    def split(self) -> tuple[str, Query]:
        """Path and query; a batch may name the host as well.

        Raises:
            ApiError: 400, it is no URL.

        """
        try:
            parts = urlsplit(self.target)
        except ValueError as error:
            raise invalid("Invalid URL", "badRequest") from error
        return parts.path, Query(parse_qs(parts.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer; `json` is None for an empty body."""

    status: int
    json: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose method and user are known."""

    world: World
    method: str
    handler: Callable[["Call"], Any]
    path: Mapping[str, str]
    query: Query
    content: bytes
    mask: fields.Mask
    slot: AbstractContextManager[None]

    @property
    def body(self) -> Body:
        return Body.parse(self.content)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of an API, by its name in the discovery document."""

    method: str
    verb: str
    path: str
    handler: Callable[[Call], Any]

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path) + r"/?")


class GoogleApi:
    """Finds the method that a request means and runs it as its user."""

    def __init__(self, world: World, routes: Sequence[Route]) -> None:
        self._world = world
        self._routes = [(route, route.pattern) for route in routes]

    async def answer(self, request: ApiRequest) -> ApiResponse:
        """Answer one request.

        Raises:
            ConnectionDropped: a fault wants the connection closed instead.

        """
        return await self.finish(self.open(request))

    def open(self, request: ApiRequest) -> Call | ApiResponse:
        """Recognise a request and take one of the user's concurrent calls for it, or refuse it."""
        try:
            return self._open(request.overridden())
        except ApiError as error:
            return _refusal(error)

    async def finish(self, call: Call | ApiResponse) -> ApiResponse:
        """Run what `open` let in."""
        if isinstance(call, ApiResponse):
            return call
        try:
            with call.slot:
                return await self._run(call)
        except ApiError as error:
            return _refusal(error)

    def _open(self, request: ApiRequest) -> Call:
        target, query = request.split()
        route, path = self._route(request.verb, target)
        self._authenticate(request, query)
        user = path.get("userId", "me")
        if user.lower() not in {"me", self._world.mailbox.address.lower()}:
            raise delegation_denied(user[:100])
        if len(request.body) > (MAIL_LIMIT_BYTES if route.method == _SEND else JSON_LIMIT_BYTES):
            raise too_large()
        mask = fields.parse(query.text("fields")) if query.text("fields") else {}
        slot = self._world.ledger.slot() if route.method.startswith("gmail.") else nullcontext()
        return Call(self._world, route.method, route.handler, path, query, request.body, mask, slot)

    def _route(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        for route, pattern in self._routes:
            found = pattern.fullmatch(path) if route.verb == verb else None
            if found:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        raise not_found(f"The requested URL {path[:200]} was not found on this server.")

    def _authenticate(self, request: ApiRequest, query: Query) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else query.text("access_token")
        if not self._world.grants.accepts(token):
            raise unauthenticated()

    async def _run(self, call: Call) -> ApiResponse:
        fault = self._world.faults.take(call.method)
        if fault and not fault.acts:
            await suffer(fault)
        self._world.ledger.charge(call.method)
        if self._world.latency_s:
            await asyncio.sleep(self._world.latency_s)
        answer = call.handler(call)
        if fault and fault.acts:
            await _suffer_afterwards(fault)
        if answer is None:
            return ApiResponse(204, None, {})
        return ApiResponse(200, fields.select(answer, call.mask), {})


async def _suffer_afterwards(fault: Fault) -> None:
    """The call has acted; its answer is lost or replaced."""
    await suffer(fault)
    if not fault.status:
        raise ConnectionDropped


def _refusal(error: ApiError) -> ApiResponse:
    return ApiResponse(error.status, error.body(), error.headers)
