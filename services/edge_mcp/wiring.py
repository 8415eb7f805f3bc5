"""The one place where the MCP edge is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from protos.auth.v1 import auth_pb2_grpc
from protos.mail.v1 import mail_pb2_grpc
from services.common.asgi_edge import Asgi, EdgeMiddleware
from services.common.audit_recorder import AuditRecorder
from services.common.client_address import ClientAddresses
from services.common.edge import Gate
from services.common.grpc_client import Channel
from services.common.lifecycle import announce
from services.common.limits_edge import EdgeLimiter, windows_of
from services.common.passports import PassportBroker
from services.common.tls import TlsFiles
from services.edge_mcp import health
from services.edge_mcp.catalog import instructions, make_tools
from services.edge_mcp.http_server import HttpServer
from services.edge_mcp.operations import Operations
from services.edge_mcp.server import ToolServer
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.transport import MCP_PATH, TransportGuard

SERVICE = "edge_mcp"


@dataclass(frozen=True, slots=True)
class Backends:
    """Connections to what this edge asks."""

    auth: Channel
    mail: Channel

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self.auth.close(), self.mail.close())


def connect(settings: McpSettings) -> Backends:
    """Make the connections; they open when they are first used."""
    tls = TlsFiles.of(settings)
    return Backends(
        Channel(settings.auth_address, "auth", tls), Channel(settings.mail_core_address, "mail_core", tls)
    )


def build_app(
    settings: McpSettings,
    backends: Backends,
    broker: PassportBroker,
    limiter: EdgeLimiter,
    stopping: asyncio.Event,
    *,
    recorder: AuditRecorder,
) -> Asgi:
    """Put the application together, from the inside out."""
    protocol = _protocol_app(settings, backends, stopping)
    guarded = TransportGuard(protocol, settings.transport_security(), health.PATHS)
    return EdgeMiddleware(
        guarded,
        _gate(settings, broker, limiter, recorder),
        open_paths=health.PATHS,
        probes=health.PATHS,
        max_body_bytes=settings.max_body_bytes,
    )


def _protocol_app(settings: McpSettings, backends: Backends, stopping: asyncio.Event) -> Asgi:
    mail = mail_pb2_grpc.MailServiceStub(backends.mail)  # type: ignore[arg-type]
    operations = Operations(mail, wait_s=settings.mcp_operation_wait_s, stopping=stopping)
    with_mutations = settings.mcp_enable_mutation_tools
    server = ToolServer(
        make_tools(mail, operations, with_mutations=with_mutations),
        instructions(with_mutations=with_mutations),
    )
    probes = health.Health({"auth": backends.auth, "mail_core": backends.mail}, stopping)
    server.custom_route("/health", ["GET"])(probes.health)
    server.custom_route("/ready", ["GET"])(probes.ready)
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=True,  # any replica serves any request
        json_response=False,  # so that progress reaches the client; the newer wire streams only when it must
        max_request_body_size=settings.max_body_bytes,
        transport_security=settings.transport_security(),
    )


def _gate(
    settings: McpSettings, broker: PassportBroker, limiter: EdgeLimiter, recorder: AuditRecorder
) -> Gate:
    return Gate(
        SERVICE,
        broker,
        limiter,
        ClientAddresses(settings.trusted_proxies),
        sample_ratio=settings.trace_sample_ratio,
        request_timeout_s=settings.request_timeout_s + settings.mcp_operation_wait_s,
        on_refused=recorder.refused,
    )


@asynccontextmanager
async def serving(settings: McpSettings) -> AsyncIterator[str]:
    """Serve inside the block, then drain; gives the endpoint's URL.

    Draining tells tools that wait for an operation to answer with what they know.
    """
    backends, stopping = connect(settings), asyncio.Event()
    broker = PassportBroker(backends.auth, resource=settings.mcp_resource_server_url or settings.public_url)
    recorder = AuditRecorder(SERVICE, auth_pb2_grpc.AuditServiceStub(backends.auth).AppendEvents)
    limiter = EdgeLimiter(windows_of(settings), settings, recorder.limit_hit)
    app = build_app(settings, backends, broker, limiter, stopping, recorder=recorder)
    server = HttpServer(app, settings.listen, drain_s=settings.drain_s)
    try:
        await server.start()
        async with broker.following(), recorder.recording():
            yield f"http://{server.address}{MCP_PATH}"
    finally:
        stopping.set()
        await server.stop()
        await limiter.close()
        await backends.close()


async def serve(settings: McpSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish what is in flight."""
    async with serving(settings) as url:
        announce(settings.ready_file, SERVICE, {"mcp": url})
        await stop.wait()
