"""The MCP edge: tools over streamable HTTP in, gRPC out. It presents; it holds no rules and no storage."""
