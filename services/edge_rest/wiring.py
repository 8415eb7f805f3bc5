"""The one place where the REST edge is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from protos.auth.v1 import auth_pb2_grpc
from protos.mail.v1 import mail_pb2_grpc
from services.common.backends import Backends
from services.common.lifecycle import announce, join_address, split_address
from services.edge_rest.events import Feeds
from services.edge_rest.handlers import Handlers
from services.edge_rest.middlewares import add_headers, admitted, authenticated, with_problems
from services.edge_rest.openapi import openapi_document
from services.edge_rest.parsing import BodyReader
from services.edge_rest.resource_page import add_metadata, resource_of
from services.edge_rest.routes import ROUTES, add_routes, find_route
from services.edge_rest.server import runner_of
from services.edge_rest.settings import RestSettings

SERVICE = "edge_rest"


def build_app(settings: RestSettings, backends: Backends) -> web.Application:
    """Put the application together."""
    feeds = Feeds(settings.max_event_streams)
    handlers = Handlers(
        auth=auth_pb2_grpc.AuthServiceStub(backends.auth),
        team=auth_pb2_grpc.TeamServiceStub(backends.auth),
        audit=auth_pb2_grpc.AuditServiceStub(backends.auth),
        mail=mail_pb2_grpc.MailServiceStub(backends.mail_core),
        backends=backends,
        bodies=BodyReader(settings.max_body_bytes, settings.body_timeout_s),
        feeds=feeds,
        heartbeat_s=settings.event_heartbeat_s,
        openapi=orjson.dumps(openapi_document(settings.public_url, settings.oauth_issuer)),
    )
    resource = resource_of(settings.resource, settings.authorization_servers, ROUTES)
    app = web.Application(
        middlewares=[
            admitted(backends.gate, find_route),  # first, so that every answer has an id and a log line
            with_problems(resource, find_route),  # inside it, so that the log line knows how it ended
            authenticated(find_route),  # before any body is read
        ],
        client_max_size=settings.max_body_bytes,
    )
    add_routes(app.router, handlers)
    add_metadata(app.router, resource)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(lambda _app: _close(feeds))
    return app


async def _close(feeds: Feeds) -> None:
    feeds.close()


@asynccontextmanager
async def serving(settings: RestSettings) -> AsyncIterator[str]:
    """Serve inside the block, then drain; gives the bound `host:port`."""
    async with Backends.connected(SERVICE, settings) as backends:
        runner = runner_of(build_app(settings, backends), settings)
        await runner.setup()
        try:
            host, port = split_address(settings.listen)
            await web.TCPSite(runner, host, port).start()
            yield join_address(*runner.addresses[0][:2])
        finally:
            await runner.cleanup()


async def serve(settings: RestSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish what is in flight."""
    async with serving(settings) as address:
        announce(settings.ready_file, SERVICE, {"http": address})
        await stop.wait()
