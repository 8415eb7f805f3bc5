"""The HTTP face of the local Google: token endpoint, APIs and batch, on one listener."""

import json
from base64 import b64decode
from urllib.parse import parse_qs, unquote

from aiohttp import web

from services.sandbox import batch, calendar_routes, gmail_account, gmail_messages
from services.sandbox.errors import ApiError, ConnectionDropped, too_large
from services.sandbox.faults import suffer
from services.sandbox.google_api import MAIL_LIMIT_BYTES, ApiRequest, ApiResponse, GoogleApi
from services.sandbox.grants import TokenError
from services.sandbox.world import World

_FORM_LIMIT_BYTES = 65_536
_JSON_TYPE = "application/json; charset=UTF-8"


class LocalGoogle:
    """Handlers for everything that Google's own hosts would answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        routes = [*gmail_messages.ROUTES, *gmail_account.ROUTES, *calendar_routes.ROUTES]
        self._api = GoogleApi(world, routes)

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/token", self.token)
        app.router.add_post("/revoke", self.revoke)
        app.router.add_post("/batch{tail:.*}", self.batch)
        app.router.add_route("*", "/{tail:.*}", self.call)

    async def call(self, request: web.Request) -> web.Response:
        asked = await self._read(request)
        if isinstance(asked, web.Response):
            return asked
        try:
            return _response(await self._api.answer(asked))
        except ConnectionDropped:
            return _dropped(request)

    async def batch(self, request: web.Request) -> web.Response:
        asked = await self._read(request)
        if isinstance(asked, web.Response):
            return asked
        try:
            parts = batch.read_parts(request.headers.get("Content-Type", ""), asked.body, asked.headers)
            content_type, body = await batch.answer(self._api, parts)
        except ApiError as error:
            return _response(ApiResponse(error.status, error.body(), error.headers))
        except ConnectionDropped:
            return _dropped(request)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        fault = self._world.faults.take("token")
        try:
            if fault:
                await suffer(fault)
            return _response(
                ApiResponse(200, self._world.grants.exchange(form), {"Cache-Control": "no-store"})
            )
        except TokenError as error:
            body = {"error": error.error, "error_description": error.description}
            return _response(ApiResponse(error.status, body, {"Cache-Control": "no-store"}))
        except ApiError as error:
            body = {"error": "internal_failure", "error_description": error.message}
            return _response(ApiResponse(error.status, body, error.headers))
        except ConnectionDropped:
            return _dropped(request)

    async def revoke(self, request: web.Request) -> web.Response:
        form = {**await _form(request), **request.query}
        if self._world.grants.revoke_by(form.get("token", "")):
            return _response(ApiResponse(200, {}, {}))
        body = {"error": "invalid_token", "error_description": "Token expired or revoked"}
        return _response(ApiResponse(400, body, {}))

    async def _read(self, request: web.Request) -> ApiRequest | web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = await read_body(request, MAIL_LIMIT_BYTES)
        except ApiError as error:
            return _response(ApiResponse(error.status, error.body(), {"Connection": "close"}))
        return ApiRequest(request.method, request.raw_path, headers, body)


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """Read a request's body.

    Raises:
        ApiError: 413, it is longer than the limit; what is over it is not read.

    """
    if (request.content_length or 0) > limit_bytes:
        raise too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_chunked(65_536):
        size += len(chunk)
        if size > limit_bytes:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


async def _form(request: web.Request) -> dict[str, str]:
    """Fields of a form body; client credentials may come by HTTP Basic instead (RFC 6749 §2.3.1)."""
    try:
        text = (await read_body(request, _FORM_LIMIT_BYTES)).decode("utf-8", "replace")
    except ApiError:
        return {}
    form = {name: values[-1] for name, values in parse_qs(text).items()}
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic" and "client_id" not in form:
        try:
            client_id, _, secret = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return form
        form |= {"client_id": unquote(client_id), "client_secret": unquote(secret)}
    return form


def _response(answer: ApiResponse) -> web.Response:
    body = b"" if answer.json is None else json.dumps(answer.json).encode()
    headers = {"Content-Type": _JSON_TYPE, **answer.headers} if body else dict(answer.headers)
    return web.Response(status=answer.status, body=body, headers=headers)


def _dropped(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
