"""Ports of the edges: chosen and kept before anything starts, because every process is told all of them."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from services.cli.failure import Failure

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on loopback. 0 takes any free one."""

    rest: int = 8000
    mcp: int = 8001
    a2a: int = 8002
    a2a_grpc: int = 8003
    oauth: int = 8004


@contextlib.contextmanager
def reserved(ports: Ports) -> Iterator[Ports]:
    """Give the ports, none of them 0. Inside the block nobody but who asks for one by number gets it.

    Raises Failure when one is taken.
    """
    with contextlib.ExitStack() as stack:
        chosen = {}
        for name in (field.name for field in fields(ports)):
            held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            # With this on both sides a service may listen where we have bound and do not listen.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            chosen[name] = _bind(held, name, getattr(ports, name))
        yield Ports(**chosen)


def _bind(held: socket.socket, name: str, port: int) -> int:
    try:
        held.bind((HOST, port))
    except OSError as error:
        option = f"--{name.replace('_', '-')}-port"
        advice = f"choose another with {option}, 0 for any free one"
        raise Failure(f"port {port} cannot be used ({error.strerror}); {advice}") from error
    return held.getsockname()[1]
