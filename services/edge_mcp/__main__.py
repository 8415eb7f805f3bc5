"""`python -m services.edge_mcp`: the MCP edge as a process."""

from services.common.process import run_service
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.wiring import SERVICE, serve

if __name__ == "__main__":
    run_service(SERVICE, McpSettings, serve)
