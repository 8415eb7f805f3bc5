"""The MCP server: the SDK speaks the protocol, the tools are ours.

The SDK derives a tool's schemas and its error texts from Python signatures; ours come from the contract,
so its two public seams, listing and calling, are taken over.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult
from mcp_types import Tool as ListedTool
from pydantic import ValidationError
from starlette.requests import Request

from services.common.edge import Admission
from services.common.errors import AppError, internal, not_found
from services.common.telemetry import get_logger, span
from services.edge_mcp.progress import Notify, RisingProgress
from services.edge_mcp.tool import Tool
from services.edge_mcp.tool_errors import arguments_invalid, error_result

_LIST_LIFE_MS: Final = 5 * 60_000


class ToolServer(MCPServer):
    """Serves a fixed set of tools, the same list to everyone.

    The list does not depend on the caller's scopes: the backends alone judge them, and a client can
    only ask for a scope that it lacks when it sees what the scope is for.
    """

    def __init__(self, tools: Sequence[Tool], instructions: str) -> None:
        super().__init__(
            name="mailwarden",
            title="Mailwarden",
            instructions=instructions,
            version=_version(),
            subscriptions=False,  # nothing changes while we run, so there is nothing to listen to
            cache_hints={"tools/list": CacheHint(ttl_ms=_LIST_LIFE_MS, scope="public")},
        )
        # The SDK's own spans would start a trace of their own for every message, sampled or not.
        self.middleware[:] = [m for m in self.middleware if type(m).__name__ != "OpenTelemetryMiddleware"]
        self._tools = {tool.name: tool for tool in tools}

    async def list_tools(self) -> list[ListedTool]:
        """List the tools that are enabled."""
        return [tool.listed for tool in self._tools.values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult:
        """Run a tool. Every failure is an error result: that is what a model gets to read."""
        if context is None:
            raise RuntimeError("tools are called by HTTP requests")
        admission = _admission(context)
        try:
            tool = self._find(name)
            admission.route = f"mcp.{tool.name}"
            return await _run(tool, arguments, context.report_progress)
        except AppError as error:
            admission.reason = error.reason
            return error_result(error, admission.request_id)
        except Exception:  # noqa: BLE001 - the rim: nothing of its text may reach the client
            get_logger().exception("unexpected", action=admission.route)
            admission.reason = "INTERNAL"
            return error_result(internal(), admission.request_id)

    def _find(self, name: str) -> Tool:
        if name not in self._tools:
            raise not_found(
                "TOOL_UNKNOWN", "There is no such tool here. tools/list names those that there are."
            )
        return self._tools[name]


def _admission(context: Context[Any, Any]) -> Admission:
    request: Request | None = context.request_context.request
    if request is None:
        raise RuntimeError("tools are called by HTTP requests")
    return request.scope["state"]["admission"]


async def _run(tool: Tool, arguments: dict[str, Any], report_progress: Notify) -> CallToolResult:
    with span(f"mcp.{tool.name}"):
        try:
            checked = tool.arguments.read(arguments)
        except ValidationError as error:
            raise arguments_invalid(error) from None
        answer = await tool.run(checked, RisingProgress(report_progress))
        return answer.to_result()


def _version() -> str:
    try:
        return version("mailwarden")
    except PackageNotFoundError:  # run from a checkout
        return "0.1.0"
