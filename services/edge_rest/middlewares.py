"""What happens to every request around its handler, outermost first.

1. `admitted` gives it an id, a trace, a deadline and its one log line, whatever becomes of it;
2. `with_problems` turns every failure inside into a problem document, so that 1 sees its status;
3. `authenticated` establishes the caller and counts the request before a byte of the body is read.

Size and time of bodies are bounded where bodies are read (parsing.py), those of heads and answers by
the connection itself (server.py).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from services.common.client_address import FORWARDED_HEADER, Peer
from services.common.edge import REQUEST_ID_HEADER, Admission, Gate, Headers
from services.common.errors import AppError, internal
from services.common.protected_resource import ProtectedResource
from services.common.telemetry import get_logger
from services.edge_rest.handlers import ADMISSION
from services.edge_rest.problems import from_http_exception, problem_response
from services.edge_rest.resource_page import scopes_of
from services.edge_rest.routes import Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FindRoute = Callable[[web.Request], Route | None]
_PRIVATE_PREFIX: Final = "/v1/"


def admitted(gate: Gate, find_route: FindRoute) -> Callable:
    """Make the outermost middleware."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = find_route(request)
        # Paths and methods that nobody serves share one name: logs and metrics hold no client's text.
        name = route.name if route else "unknown"
        has_deadline = route is None or not route.stays_open
        peer = Peer(request.remote or "", request.headers.getall(FORWARDED_HEADER, ()))
        headers = Headers(request.headers.items())
        with gate.admit(headers, name, peer, has_deadline=has_deadline) as admission:
            request[ADMISSION] = admission
            response = await handler(request)
            admission.status = response.status
            return response

    return middleware


def with_problems(resource: ProtectedResource, find_route: FindRoute) -> Callable:
    """Make the middleware that turns whatever is raised inside into an answer."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except AppError as error:
            return refused(request, error)
        except web.HTTPException as error:
            return refused(request, from_http_exception(error))
        except Exception:  # noqa: BLE001 - the one place where the unexpected becomes a bare 500
            get_logger().exception("unexpected", route=request[ADMISSION].route)
            return refused(request, internal())

    def refused(request: web.Request, error: AppError) -> web.Response:
        """Answer with a problem, and note it for the log line."""
        admission = request[ADMISSION]
        admission.reason = error.reason
        held = admission.caller.scopes if admission.caller else ()
        challenge = resource.challenge(error, held=held, wanted=scopes_of(find_route(request)))
        return problem_response(
            error, request_id=admission.request_id, instance=request.path, challenge=challenge
        )

    return middleware


def authenticated(find_route: FindRoute) -> Callable:
    """Make the middleware that lets only known callers reach a private route."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = find_route(request)
        await _enter(request[ADMISSION], route)
        return await handler(request)

    return middleware


async def _enter(admission: Admission, route: Route | None) -> None:
    if route is not None and route.is_private:
        await admission.authenticate()
        if route.stays_open:
            admission.hold_stream()
    elif route is None or not route.is_probe:
        await admission.count_openly()


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what every answer carries; a signal, because streams begin inside handlers."""
    if ADMISSION in request:
        response.headers[REQUEST_ID_HEADER] = request[ADMISSION].request_id
        response.headers.update(request[ADMISSION].limit_headers())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "mailwarden"  # in place of the versions of what it is made of
    if request.path.startswith(_PRIVATE_PREFIX):
        response.headers["Cache-Control"] = "no-store"
