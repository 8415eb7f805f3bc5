"""The one place where the MCP edge is put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from protos.mail.v1 import mail_pb2_grpc
from services.common.asgi_edge import Asgi, EdgeMiddleware
from services.common.backends import Backends
from services.common.http_server import HttpServer
from services.common.lifecycle import announce
from services.common.probes import PROBE_PATHS, Probes
from services.common.protected_resource import ProtectedResource
from services.common.resource_page import ResourcePage
from services.edge_mcp.browsers import pages_of
from services.edge_mcp.catalog import instructions, make_tools
from services.edge_mcp.operations import Operations
from services.edge_mcp.server import ToolServer
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.step_up import StepUp
from services.edge_mcp.tool import Tool
from services.edge_mcp.transport import MCP_PATH, TransportGuard

SERVICE = "edge_mcp"


def build_app(settings: McpSettings, backends: Backends, stopping: asyncio.Event) -> Asgi:
    """Put the application together, from the inside out."""
    mail = mail_pb2_grpc.MailServiceStub(backends.mail_core)  # type: ignore[arg-type]
    operations = Operations(mail, wait_s=settings.mcp_operation_wait_s, stopping=stopping)
    tools = make_tools(mail, operations, with_mutations=settings.mcp_enable_mutation_tools)
    resource = ProtectedResource.of(
        "Mailwarden MCP", settings.resource, settings.authorization_servers, (tool.policy for tool in tools)
    )
    security = settings.transport_security()
    guarded = TransportGuard(_protocol_app(settings, tools), security, StepUp(tools))
    return EdgeMiddleware(
        Probes(ResourcePage(guarded, resource), backends, stopping),
        backends.gate,
        open_paths=[*PROBE_PATHS, *resource.metadata_paths],
        probes=PROBE_PATHS,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        resource=resource,
        cross_origin=pages_of(settings.mcp_allowed_origins),
    )


def _protocol_app(settings: McpSettings, tools: Sequence[Tool]) -> Asgi:
    server = ToolServer(tools, instructions(with_mutations=settings.mcp_enable_mutation_tools))
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=True,  # any replica serves any request
        json_response=False,  # so that progress reaches the client; the newer wire streams only when it must
        max_request_body_size=settings.max_body_bytes,
        transport_security=settings.transport_security(),
    )


@asynccontextmanager
async def serving(settings: McpSettings) -> AsyncIterator[str]:
    """Serve inside the block, then drain; gives the endpoint's URL.

    Draining tells tools that wait for an operation to answer with what they know.
    """
    stopping = asyncio.Event()
    server = HttpServer(
        settings.listen,
        drain_s=settings.drain_s,
        idle_s=settings.idle_timeout_s,
        write_s=settings.write_timeout_s,
    )
    connected = Backends.connected(SERVICE, settings, more_time_s=settings.mcp_operation_wait_s)
    async with connected as backends, server.serving(build_app(settings, backends, stopping)):
        try:
            yield f"http://{server.address}{MCP_PATH}"
        finally:
            stopping.set()


async def serve(settings: McpSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish what is in flight."""
    async with serving(settings) as url:
        announce(settings.ready_file, SERVICE, {"mcp": url})
        await stop.wait()
