"""The MCP SDK's own OAuth client against our server: discovery, registration, PKCE, token, refresh."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from aiohttp import web
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientMetadata,
)
from pydantic import AnyUrl

from services.common.errors import AppError
from tests.e2e.browser import Memory
from tests.integration.auth.oauth.world import REDIRECT, World, running_world
from tests.postgres import Databases


@contextlib.asynccontextmanager
async def resource_server(issuer: list[str], worlds: list[World]) -> AsyncIterator[str]:
    """A protected resource with RFC 9728 metadata, which asks the server's own check."""

    async def metadata(request: web.Request) -> web.Response:
        said = {"resource": url, "authorization_servers": issuer, "scopes_supported": ["mail:scan"]}
        return web.json_response(said)

    async def mcp(request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            who = await worlds[0].oauth.check(token, url)
        except AppError:
            where = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
            challenge = f'Bearer resource_metadata="{where}", scope="mail:scan"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        return web.json_response({"scopes": sorted(who.caller.scopes)})

    app = web.Application()
    app.router.add_get("/.well-known/oauth-protected-resource/mcp", metadata)
    app.router.add_get("/mcp", mcp)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    try:
        yield url
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("path", ["", "/auth"])
async def test_the_sdk_s_client_gets_in_and_stays_in(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    """From 401 to an answer without help, then a refresh; also for an issuer with a path."""
    issuer: list[str] = []
    worlds: list[World] = []
    async with (
        resource_server(issuer, worlds) as url,
        running_world(databases, tmp_path_factory.mktemp("sdk"), oauth_resources=url, path=path) as world,
    ):
        issuer.append(world.issuer)
        worlds.append(world)
        key, storage = await world.key(), Memory()
        sent: dict[str, Any] = {}

        async def redirect(address: str) -> None:
            world.cookies.clear()
            page = await world.browse("GET", address)
            form = {"ticket": page.field("ticket"), "key": key.secret}
            consent = await world.browse("POST", "/oauth/sign-in", data=form)
            sent.update((await world.consent(consent, "mail:scan")).sent)

        async def callback() -> AuthorizationCodeResult:
            return AuthorizationCodeResult(code=sent["code"], state=sent["state"], iss=sent["iss"])

        said = OAuthClientMetadata(client_name="SDK", redirect_uris=[AnyUrl(REDIRECT)])
        provider = OAuthClientProvider(url, said, storage, redirect, callback)
        async with httpx2.AsyncClient(auth=provider) as client:
            assert (await client.get(url)).json() == {"scopes": ["mail:scan"]}
            assert storage.tokens is not None
            first = storage.tokens
            provider.context.token_expiry_time = 1.0
            assert (await client.get(url)).status_code == 200
            assert storage.tokens.refresh_token != first.refresh_token
            assert storage.tokens.access_token != first.access_token
