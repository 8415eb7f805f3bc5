"""The two probes of an ASGI edge, and the rim around it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from services.common.asgi_edge import Asgi, EdgeMiddleware, Receive, Scope, Send
from services.common.probes import PROBE_PATHS, Probes
from tests.fakes.auth_channel import AuthChannel
from tests.fakes.gates import gate_of


@dataclass
class Backends:
    """Backends that serve or do not, as the test says."""

    serving: dict[str, bool] = field(default_factory=lambda: {"auth": True, "mail_core": True})

    async def which_serve(self) -> dict[str, bool]:
        return self.serving


@dataclass
class Edge:
    """An edge whose application echoes what it reads."""

    backends: Backends = field(default_factory=Backends)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Asgi:
        async def echo(scope: Scope, receive: Receive, send: Send) -> None:
            body = b""
            while (message := await receive()).get("more_body"):
                body += message["body"]
            body += message["body"]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        gate = gate_of(AuthChannel(lambda: 0.0))
        probes = Probes(echo, self.backends, self.stopping)
        return EdgeMiddleware(probes, gate, open_paths=PROBE_PATHS, probes=PROBE_PATHS, max_body_bytes=100)

    async def ask(
        self, method: str, path: str, *parts: bytes, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Send one request, its body in parts; give status, headers and body."""
        left = list(parts or (b"",))
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        await self.app()(scope, receive, send)
        start, body = sent
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        content = orjson.loads(body["body"]) if "json" in names.get("content-type", "") else body["body"]
        return start["status"], names, content


@pytest.mark.promise("outages.health")
async def test_health_says_that_the_loop_turns_and_nothing_else() -> None:
    """A dead dependency never restarts us: not even while we drain."""
    edge = Edge(Backends({"auth": False, "mail_core": False}))
    edge.stopping.set()
    status, _, body = await edge.ask("GET", "/health")
    assert (status, body) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("serving", "status", "missing"),
    [
        ({"auth": True, "mail_core": True}, 200, ""),
        ({"auth": False, "mail_core": True}, 503, "auth"),
        ({"auth": False, "mail_core": False}, 503, "auth, mail_core"),
    ],
)
async def test_ready_follows_what_we_need(serving: dict[str, bool], status: int, missing: str) -> None:
    """503 with a reason that names who is missing."""
    got, _, body = await Edge(Backends(serving)).ask("GET", "/ready")
    assert got == status
    assert body.get("reason") == ("NOT_READY" if missing else None)
    assert body.get("detail", "") == (f"Not reachable: {missing}." if missing else "")


async def test_a_process_that_drains_is_not_ready() -> None:
    """No new work is sent to it."""
    edge = Edge()
    edge.stopping.set()
    status, _, body = await edge.ask("GET", "/ready")
    assert (status, body["reason"]) == (503, "NOT_READY")


@pytest.mark.parametrize("path", PROBE_PATHS)
async def test_probes_are_read_only(path: str) -> None:
    """405 with what is allowed (RFC 9110 §15.5.6)."""
    status, headers, body = await Edge().ask("POST", path)
    assert (status, headers["allow"], body["reason"]) == (405, "GET", "METHOD_NOT_ALLOWED")


async def test_all_else_needs_a_credential() -> None:
    """The application sees no byte before."""
    status, headers, body = await Edge().ask("POST", "/rpc", b"x")
    assert (status, body["reason"]) == (401, "CREDENTIAL_MISSING")
    assert headers["www-authenticate"] == 'Bearer realm="mailwarden"'


async def test_an_admitted_request_passes_with_its_id() -> None:
    """The answer carries the id that the client sent."""
    status, headers, body = await Edge().ask("POST", "/rpc", b"a", b"b", x_api_key="k", x_request_id="r-1")
    assert (status, body, headers["x-request-id"]) == (200, b"ab", "r-1")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("parts", "declared"), [((b"x" * 60, b"x" * 60), {}), ((b"",), {"content_length": "101"})]
)
async def test_a_body_past_the_limit_is_refused(parts: tuple[bytes, ...], declared: dict[str, str]) -> None:
    """Whether its length was declared or not."""
    status, _, body = await Edge().ask("POST", "/rpc", *parts, x_api_key="k", **declared)
    assert (status, body["reason"], body["title"]) == (413, "BODY_TOO_LARGE", "Request Entity Too Large")
