"""What the servers of the benchmark share: told their settings on standard input, they say their port."""

import json
import socket
import sys
from typing import Any


def settings() -> dict[str, Any]:
    """Read what to serve."""
    return json.loads(sys.stdin.readline())


def listening() -> socket.socket:
    """Listen on any free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def announce(listener: socket.socket) -> None:
    """Say where we are."""
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
