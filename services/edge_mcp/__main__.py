"""`python -m services.edge_mcp`: the MCP edge as a process."""

from functools import partial

from services.common import lifecycle, telemetry
from services.common.settings import read_settings
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.wiring import SERVICE, serve


def main() -> None:
    """Read the settings, serve until SIGTERM, flush what was measured."""
    settings = read_settings(McpSettings)
    flush = telemetry.start(SERVICE, settings)
    try:
        lifecycle.run(partial(serve, settings))
    finally:
        flush()


if __name__ == "__main__":
    main()
