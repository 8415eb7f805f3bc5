"""The HTTP side: card, probes and the JSON-RPC and HTTP+JSON bindings, behind the common rim."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, VERSION_HEADER
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from services.common.asgi_edge import EdgeMiddleware
from services.common.backends import Probed
from services.common.edge import Gate
from services.common.errors import not_found
from services.common.probes import PROBE_PATHS, Probes
from services.common.problem import method_not_allowed
from services.common.protected_resource import ProtectedResource
from services.common.resource_page import ResourcePage
from services.edge_a2a.agent_card import PROTOCOL_VERSION, REST_PATH, RPC_PATH, ServedCard
from services.edge_a2a.http_json import HttpJson
from services.edge_a2a.json_rpc import JsonRpc

_JSON: Final = "application/json"


def http_app(
    gate: Gate,
    card: ServedCard,
    json_rpc: JsonRpc,
    http_json: HttpJson,
    *,
    backends: Probed,
    stopping: asyncio.Event,
    max_body_bytes: int,
    body_timeout_s: float,
    resource: ProtectedResource,
) -> EdgeMiddleware:
    """Wire the routes. A bare router, so that errors reach the common rim instead of a second one."""
    routes = [
        Route(AGENT_CARD_WELL_KNOWN_PATH, _card_endpoint(card), methods=["GET"]),
        *(Route(path, json_rpc.handle_requests, methods=["POST"]) for path in (RPC_PATH, f"{RPC_PATH}/")),
        *http_json.routes(REST_PATH),
    ]
    known = [AGENT_CARD_WELL_KNOWN_PATH, RPC_PATH, f"{RPC_PATH}/"]
    wrong_method = [Route(path, _WrongMethod()) for path in known]
    router = Router([*routes, *wrong_method], redirect_slashes=False, default=_nothing_here)
    return EdgeMiddleware(
        Probes(ResourcePage(router, resource), backends, stopping),
        gate,
        open_paths=[AGENT_CARD_WELL_KNOWN_PATH, *PROBE_PATHS, *resource.metadata_paths],
        probes=PROBE_PATHS,
        max_body_bytes=max_body_bytes,
        body_timeout_s=body_timeout_s,
        # A blocking SendMessage waits for the end of its task, a stream for the end of its events.
        has_deadline=False,
        resource=resource,
    )


def _card_endpoint(card: ServedCard) -> Callable[[Request], Awaitable[Response]]:
    headers = {**card.headers(), VERSION_HEADER: PROTOCOL_VERSION}

    async def endpoint(request: Request) -> Response:
        if card.is_known_to(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(card.body, media_type=_JSON, headers=headers)

    return endpoint


class _WrongMethod:
    """Refuses whatever other routes of the same path did not take."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        raise method_not_allowed("POST" if scope["path"].startswith(RPC_PATH) else "GET")


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    raise not_found("PATH_UNKNOWN", "There is nothing at this path.")
