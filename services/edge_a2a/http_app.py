"""The HTTP side: card, health, readiness and the JSON-RPC and HTTP+JSON bindings, behind the common rim."""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, VERSION_HEADER
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from services.common.asgi_edge import EdgeMiddleware
from services.common.edge import Gate
from services.common.errors import invalid, not_found
from services.common.problem import CONTENT_TYPE, problem_of
from services.edge_a2a.agent_card import PROTOCOL_VERSION, REST_PATH, RPC_PATH, ServedCard
from services.edge_a2a.http_json import HttpJson
from services.edge_a2a.json_rpc import JsonRpc

HEALTH_PATH: Final = "/health"
READY_PATH: Final = "/ready"
CHALLENGE: Final = 'Bearer realm="mailwarden"'
_JSON: Final = "application/json"

IsReady = Callable[[], Awaitable[bool]]


def http_app(
    gate: Gate,
    card: ServedCard,
    json_rpc: JsonRpc,
    http_json: HttpJson,
    is_ready: IsReady,
    *,
    max_body_bytes: int,
) -> EdgeMiddleware:
    """Wire the routes. A bare router, so that errors reach the common rim instead of a second one."""
    routes = [
        Route(AGENT_CARD_WELL_KNOWN_PATH, _card_endpoint(card), methods=["GET"]),
        Route(HEALTH_PATH, _health, methods=["GET"]),
        Route(READY_PATH, _ready_endpoint(is_ready), methods=["GET"]),
        *(Route(path, json_rpc.handle_requests, methods=["POST"]) for path in (RPC_PATH, f"{RPC_PATH}/")),
        *http_json.routes(REST_PATH),
    ]
    paths = [AGENT_CARD_WELL_KNOWN_PATH, HEALTH_PATH, READY_PATH]
    known = [*paths, RPC_PATH, f"{RPC_PATH}/"]
    wrong_method = [Route(path, _MethodNotAllowed()) for path in known]
    router = Router([*routes, *wrong_method], redirect_slashes=False, default=_nothing_here)
    return EdgeMiddleware(
        router,
        gate,
        open_paths=paths,
        probes=(HEALTH_PATH, READY_PATH),
        max_body_bytes=max_body_bytes,
        # A blocking SendMessage waits for the end of its task, a stream for the end of its events.
        has_deadline=False,
        challenge=CHALLENGE,
    )


def _card_endpoint(card: ServedCard) -> Callable[[Request], Awaitable[Response]]:
    headers = {**card.headers(), VERSION_HEADER: PROTOCOL_VERSION}

    async def endpoint(request: Request) -> Response:
        if card.is_known_to(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(card.body, media_type=_JSON, headers=headers)

    return endpoint


async def _health(_: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type=_JSON)


def _ready_endpoint(is_ready: IsReady) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        ready = await is_ready()
        body = orjson.dumps({"status": "ready" if ready else "not_ready"})
        return Response(body, status_code=200 if ready else 503, media_type=_JSON)

    return endpoint


class _MethodNotAllowed:
    """Answers 405 to whatever other routes of the same path did not take."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = invalid("METHOD_NOT_ALLOWED", "This path does not answer to this HTTP method.")
        admission = scope["state"]["admission"]
        admission.reason = error.reason
        path = scope["path"]
        problem = problem_of(error, request_id=admission.request_id, instance=path, status=405)
        headers = {**problem.headers, "Allow": "POST" if path.startswith(RPC_PATH) else "GET"}
        await Response(orjson.dumps(problem.body), 405, headers, CONTENT_TYPE)(scope, receive, send)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    raise not_found("PATH_NOT_FOUND", "There is nothing at this path.")
