"""A process into which everything goes wrong that can, with a secret in each place.

Run as `python -m tests.fakes.loud_service SECRET`; what it logs is for the test to read.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Any, Never

from google.protobuf.descriptor import MethodDescriptor

from protos.mail.v1 import mail_pb2
from services.common import telemetry
from services.common.asgi_edge import EdgeMiddleware, Receive, Scope, Send
from services.common.context import Call
from services.common.dispatch import Dispatcher, Envelope
from services.common.errors import AppError, internal
from services.common.identity import Caller, PassportVerifier
from services.common.policy import Policy, policy_of
from services.common.settings import BaseServiceSettings
from services.common.tracing import Trace, span, within
from tests.fakes.auth_channel import TEAM_ID, AuthChannel
from tests.fakes.gates import gate_of

LIST: MethodDescriptor = mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name["ListMailboxes"]


def fail(secret: str) -> Never:
    """Raise a group of errors, each from another, every text with the secret."""
    try:
        raise ConnectionRefusedError(111, secret)
    except OSError as error:
        raise ExceptionGroup(secret, [ValueError(secret), KeyError({secret: secret})]) from error


class KnowsEverybody(PassportVerifier):
    """Admits whatever passport comes."""

    async def verify(self, token: str) -> Caller:
        scopes = policy_of(LIST).any_scope
        return Caller(TEAM_ID, "Team", f"{token}@example.org", "1", "jwt", scopes)


async def edge(secret: str) -> None:
    """One request through the rim of an ASGI edge to an application that breaks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fail(secret)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": secret.encode()}

    async def send(message: Mapping[str, Any]) -> None:
        del message

    gate = gate_of(AuthChannel(lambda: 0.0), sample_ratio=1)
    rim = EdgeMiddleware(app, gate, open_paths=[f"/{secret}"], probes=[], max_body_bytes=1_024)
    names = ("x-api-key", "user-agent", "cookie", "referer", "x-request-id")
    for path in ("/rpc", f"/{secret}/x"):
        headers = [(name.encode(), secret.encode()) for name in names[:-1]]
        headers.append((b"x-request-id", f"{secret} {secret}".encode()))
        scope = {"type": "http", "method": "POST", "path": path, "query_string": secret.encode()}
        await rim({**scope, "headers": headers}, receive, send)


async def backend(secret: str) -> None:
    """Calls that break in a handler, by both kinds of error and both kinds of method."""

    async def unary(request: Any, call: Call) -> Any:
        fail(secret)

    async def refuses(request: Any, call: Call) -> Any:
        try:
            fail(secret)
        except ExceptionGroup:
            raise internal() from None

    async def stream(request: Any, call: Call) -> Any:
        yield request
        fail(secret)

    dispatcher = Dispatcher("test", KnowsEverybody("mail_core", lambda _: fail(secret)))
    policy: Policy = policy_of(LIST)
    request = mail_pb2.ListMailboxesRequest(page_token=secret)
    envelope = Envelope("edge_rest", {"x-passport": secret, "authorization": secret}, 5.0)
    for handler in (unary, refuses):
        await _failing(dispatcher.unary(policy, handler, request, envelope))

    async def drain() -> None:
        async for _ in dispatcher.stream(policy, stream, request, envelope):
            pass

    await _failing(drain())


async def _failing(call: Any) -> None:
    try:
        await call
    except AppError:
        return
    raise AssertionError("it should have failed")


async def libraries(secret: str) -> None:
    """What libraries log by the standard module, asyncio's complaint among it."""
    try:
        fail(secret)
    except ExceptionGroup:
        logging.getLogger("some.library").exception("it broke")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task %s>", secret)
    logging.getLogger("uvicorn.access").info("GET /%s", secret)
    with within(Trace(1, 2, is_sampled=True)):
        try:
            with span("work"):
                fail(secret)
        except ExceptionGroup:
            telemetry.get_logger().warning("seen", exc_info=True)


async def main(secret: str) -> None:
    """Let all of it go wrong."""
    await edge(secret)
    await backend(secret)
    await libraries(secret)


if __name__ == "__main__":
    telemetry.start("loud", BaseServiceSettings(log_level="DEBUG"))
    asyncio.run(main(sys.argv[1]))
