"""The one place where the REST edge is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from protos.auth.v1 import auth_pb2_grpc
from protos.mail.v1 import mail_pb2_grpc
from services.common.audit_recorder import AuditRecorder
from services.common.client_address import ClientAddresses
from services.common.edge import Gate
from services.common.grpc_client import Channel
from services.common.lifecycle import announce, split_address
from services.common.limits_edge import EdgeLimiter, windows_of
from services.common.passports import PassportBroker
from services.common.tls import TlsFiles
from services.edge_rest.events import Feeds
from services.edge_rest.handlers import Handlers
from services.edge_rest.middlewares import add_headers, admitted, authenticated, with_problems
from services.edge_rest.openapi import openapi_document
from services.edge_rest.parsing import BodyReader
from services.edge_rest.routes import add_routes, find_route
from services.edge_rest.server import Runner
from services.edge_rest.settings import RestSettings

SERVICE = "edge_rest"


@dataclass(frozen=True, slots=True)
class Backends:
    """Connections to what this edge asks."""

    auth: Channel
    mail: Channel

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self.auth.close(), self.mail.close())


def connect(settings: RestSettings) -> Backends:
    """Make the connections; they open when they are first used."""
    tls = TlsFiles.of(settings)
    return Backends(
        Channel(settings.auth_address, "auth", tls), Channel(settings.mail_core_address, "mail_core", tls)
    )


def build_app(settings: RestSettings, backends: Backends) -> web.Application:
    """Put the application together."""
    audit = auth_pb2_grpc.AuditServiceStub(backends.auth)
    recorder = AuditRecorder(SERVICE, audit.AppendEvents)
    limiter = EdgeLimiter(windows_of(settings), settings, recorder.limit_hit)
    broker = PassportBroker(backends.auth, resource=settings.public_url)
    gate = Gate(
        SERVICE,
        broker,
        limiter,
        ClientAddresses(settings.trusted_proxies),
        sample_ratio=settings.trace_sample_ratio,
        request_timeout_s=settings.request_timeout_s,
        on_refused=recorder.refused,
    )
    feeds = Feeds(settings.max_event_streams)
    handlers = Handlers(
        auth=auth_pb2_grpc.AuthServiceStub(backends.auth),
        team=auth_pb2_grpc.TeamServiceStub(backends.auth),
        mail=mail_pb2_grpc.MailServiceStub(backends.mail),
        audit=audit,
        peers={"auth": backends.auth, "mail_core": backends.mail},
        bodies=BodyReader(settings.max_body_bytes, settings.body_timeout_s),
        feeds=feeds,
        heartbeat_s=settings.event_heartbeat_s,
        openapi=orjson.dumps(openapi_document(settings.public_url)),
    )
    app = web.Application(
        middlewares=[
            admitted(gate, find_route),  # first, so that every answer has an id and a log line
            with_problems,  # inside it, so that the log line knows how it ended
            authenticated(find_route),  # before any body is read
        ],
        client_max_size=settings.max_body_bytes,
    )
    add_routes(app.router, handlers)
    app.cleanup_ctx.append(lambda _app: _following(broker))
    app.cleanup_ctx.append(lambda _app: _recording(recorder))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(lambda _app: _close(feeds))
    app.on_cleanup.append(lambda _app: limiter.close())
    return app


async def _following(broker: PassportBroker) -> AsyncIterator[None]:
    async with broker.following():
        yield


async def _recording(recorder: AuditRecorder) -> AsyncIterator[None]:
    async with recorder.recording():
        yield


async def _close(feeds: Feeds) -> None:
    feeds.close()


@asynccontextmanager
async def serving(settings: RestSettings) -> AsyncIterator[str]:
    """Serve inside the block, then drain; gives the bound `host:port`."""
    backends = connect(settings)
    runner = Runner(build_app(settings, backends), settings)
    await runner.setup()
    try:
        host, port = split_address(settings.listen)
        await web.TCPSite(runner, host, port).start()
        yield _address(runner.addresses[0])
    finally:
        await runner.cleanup()
        await backends.close()


async def serve(settings: RestSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish what is in flight."""
    async with serving(settings) as address:
        announce(settings.ready_file, SERVICE, {"http": address})
        await stop.wait()


def _address(bound: tuple[Any, ...]) -> str:
    host, port = bound[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
