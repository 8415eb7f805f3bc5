"""The page on which an ASGI edge publishes its metadata as a protected resource."""

from typing import Final

from services.common.asgi_edge import Asgi, Receive, Scope, Send
from services.common.problem import method_not_allowed
from services.common.protected_resource import PAGE_HEADERS, ProtectedResource

_GET: Final = ("GET", "HEAD")


class ResourcePage:
    """Wraps an ASGI application: answers for the metadata itself, and passes all else on.

    Belongs inside `EdgeMiddleware`, with the paths of the metadata open.
    """

    def __init__(self, app: Asgi, resource: ProtectedResource) -> None:
        self._app = app
        self._paths = resource.metadata_paths
        self._document = resource.document()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises HttpError METHOD_NOT_ALLOWED."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
        elif scope["method"] in _GET:
            await _send(200, self._document, send)
        elif scope["method"] == "OPTIONS":
            await _send(204, b"", send)
        else:
            raise method_not_allowed("GET, HEAD, OPTIONS")


async def _send(status: int, body: bytes, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in PAGE_HEADERS.items()]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
