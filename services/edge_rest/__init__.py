"""The REST edge: HTTP in, gRPC out. It parses, calls and presents; it holds no rules and no storage."""
