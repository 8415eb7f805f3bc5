"""The HTTP listener: routes, refusals, headers, one log line for each request without its query."""

import secrets
import time
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from services.auth.oauth.domain.errors import OAuthError, invalid_request, unavailable
from services.auth.oauth.events import EDGE
from services.auth.oauth.http.browser_routes import BrowserRoutes
from services.auth.oauth.http.client_routes import ClientRoutes
from services.auth.oauth.http.connection import refused
from services.auth.oauth.http.limiting import AddressLimits
from services.auth.oauth.http.pages import error_page, policy
from services.auth.oauth.http.reading import MAX_BODY_BYTES
from services.common.context import Call, entered
from services.common.cross_origin import CrossOrigin
from services.common.errors import AppError, Kind
from services.common.telemetry import get_logger
from services.common.web_server import Bounds, Runner

WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
_ROUTE: Final = web.RequestKey("route", str)
_BOUNDS: Final = Bounds(idle_s=15.0)
_INTERNAL: Final = 500
_UNAUTHORIZED: Final = 401
_UNREAD_BODY: Final = frozenset({408, 413})
"""What is left of the body is not worth reading, so the connection ends."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers then hide the Origin of a form, which we check.
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": policy(),
    "Server": "mailwarden",  # in place of the versions of what it is made of
}
_OPEN: Final = frozenset({"metadata", "jwks", "token", "register", "revoke"})
"""What programs inside a browser may call from anywhere. None of it looks at cookies."""
_ANYWHERE: Final = CrossOrigin(
    methods=("GET", "POST", "OPTIONS"),
    accepts=("Authorization", "Content-Type", "MCP-Protocol-Version"),
    exposes=(
        "WWW-Authenticate",
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-Request-Id",
    ),
)
_PAGES: Final = frozenset({"authorize", "sign-in", "callback", "consent", "account", "sign-out"})


def build_app(clients: ClientRoutes, browsers: BrowserRoutes, limits: AddressLimits) -> web.Application:
    """Put the application together. Clients register only where `clients` can do that."""
    app = web.Application(middlewares=[_answered], client_max_size=MAX_BODY_BYTES)
    path = urlsplit(clients.issuer).path
    routes: list[tuple[str, str, str, Handler]] = [
        ("GET", "metadata", f"{path}{WELL_KNOWN}", clients.metadata),
        ("GET", "jwks", f"{path}/oauth/jwks.json", clients.keys),
        ("POST", "token", f"{path}/oauth/token", clients.token),
        ("POST", "introspect", f"{path}/oauth/introspect", clients.introspection),
        ("POST", "revoke", f"{path}/oauth/revoke", clients.revocation),
        ("GET", "authorize", f"{path}/oauth/authorize", browsers.authorize),
        ("POST", "authorize", f"{path}/oauth/authorize", browsers.authorize),
        ("POST", "sign-in", f"{path}/oauth/sign-in", browsers.sign_in),
        ("GET", "callback", f"{path}/oauth/callback", browsers.callback),
        ("POST", "consent", f"{path}/oauth/consent", browsers.consent),
        ("GET", "account", f"{path}/oauth/account", browsers.account),
        ("POST", "account", f"{path}/oauth/account", browsers.take_back),
        ("POST", "sign-out", f"{path}/oauth/sign-out", browsers.sign_out),
    ]
    if path:
        # RFC 8414 §3.1 puts the well-known part before the path of the issuer.
        routes.append(("GET", "metadata", f"{WELL_KNOWN}{path}", clients.metadata))
    if clients.register is not None:
        routes.append(("POST", "register", f"{path}/oauth/register", clients.registration))

    def counted(name: str, handler: Handler) -> Handler:
        return lambda request: limits.guarded(name, request, handler)

    for method, name, route, handler in routes:
        app.router.add_route(method, route, _named(name, counted(name, handler)))
        if name in _OPEN:
            app.router.add_options(route, _named(name, counted("preflight", _preflight)))
    return app


def _named(name: str, handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[_ROUTE] = name
        return await handler(request)

    return handle


async def _preflight(request: web.Request) -> web.Response:
    del request
    return web.Response(status=204)


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request, whatever becomes of it."""
    started, request_id = time.monotonic(), secrets.token_hex(8)
    try:
        # What is recorded on the way carries the request's id.
        with entered(Call(request_id=request_id, peer=EDGE)):
            response = await handler(request)
    except OAuthError as error:
        response = _refusal(request, error)
    except AppError as error:
        response = _refusal(request, unavailable() if error.kind is Kind.UNAVAILABLE else _unfit(error))
    except web.HTTPException as error:
        response = _refusal(request, _of_http(error))
        response.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
    except Exception:  # noqa: BLE001  the rim: nothing of it may reach the client
        get_logger().exception("oauth_request_failed", request_id=request_id)
        response = _refusal(request, OAuthError("server_error", "Something went wrong.", status=_INTERNAL))
    for name, value in {**_HEADERS, "X-Request-Id": request_id, **_cors(request)}.items():
        response.headers.setdefault(name, value)
    ms = round((time.monotonic() - started) * 1000, 1)
    get_logger().info(
        "oauth_request",
        route=request.get(_ROUTE, "unknown"),
        status=response.status,
        ms=ms,
        request_id=request_id,
    )
    return response


def _refusal(request: web.Request, error: OAuthError) -> web.Response:
    if request.get(_ROUTE) in _PAGES:
        text = error_page(error.description)
        response = web.Response(text=text, content_type="text/html", charset="utf-8", status=error.status)
    else:
        said = {"error": error.code, "error_description": error.description}
        response = web.json_response(said, status=error.status)
        if error.status == _UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="mailwarden"'
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status in _UNREAD_BODY:
        response.force_close()
    return response


def _unfit(error: AppError) -> OAuthError:
    if error.kind is Kind.INTERNAL:
        return OAuthError("server_error", "Something went wrong.", status=_INTERNAL)
    return invalid_request("The request cannot be carried out.")


def _of_http(error: web.HTTPException) -> OAuthError:
    return OAuthError("invalid_request", error.reason, status=error.status)


def _cors(request: web.Request) -> dict[str, str]:
    if request.get(_ROUTE) not in _OPEN:
        return {}
    return _ANYWHERE.headers(None) | (_ANYWHERE.preflight(None) if request.method == "OPTIONS" else {})


class OAuthServer:
    """Listens for browsers and clients."""

    def __init__(self, app: web.Application, drain_s: float) -> None:
        self._runner = Runner(app, refused, _BOUNDS, drain_s=drain_s)

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop accepting, let what is under way finish, close."""
        await self._runner.cleanup()
