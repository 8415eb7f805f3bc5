"""Builds the edge out of its parts and runs it. The only place that knows them all."""

import asyncio
from collections.abc import Callable, Iterator

from protos.mail.v1 import mail_pb2_grpc
from services.common.backends import Backends
from services.common.http_server import HttpServer
from services.common.lifecycle import announce, join_address, split_address
from services.common.policy import Policy
from services.common.protected_resource import ProtectedResource
from services.edge_a2a.actions import ACTIONS
from services.edge_a2a.agent import Agent
from services.edge_a2a.agent_card import ServedCard, agent_card
from services.edge_a2a.grpc_binding import GrpcBinding
from services.edge_a2a.http_app import http_app
from services.edge_a2a.http_json import HttpJson
from services.edge_a2a.json_rpc import JsonRpc
from services.edge_a2a.operations import Operations
from services.edge_a2a.settings import A2aSettings
from services.edge_a2a.task_store import TaskStore

SERVICE = "edge_a2a"


async def serve(
    settings: A2aSettings, stop: asyncio.Event, announced: Callable[[dict[str, str]], None] = lambda _: None
) -> None:
    """Serve until `stop` is set, then drain. `announced` gets the addresses once all is listening."""
    async with Backends.connected(SERVICE, settings) as backends:
        await _serve(settings, stop, announced, backends)


async def _serve(
    settings: A2aSettings,
    stop: asyncio.Event,
    announced: Callable[[dict[str, str]], None],
    backends: Backends,
) -> None:
    gate = backends.gate
    mail = mail_pb2_grpc.MailServiceStub(backends.mail_core)
    operations = Operations(mail)
    store = _store(settings)
    agent = Agent(mail, operations, store)
    http = HttpServer(
        settings.listen,
        drain_s=settings.drain_s,
        idle_s=settings.idle_timeout_s,
        write_s=settings.write_timeout_s,
    )
    resource = ProtectedResource.of(
        "Mailwarden A2A", settings.resource, settings.authorization_servers, _policies()
    )
    grpc = GrpcBinding(agent, gate, resource, max_message_bytes=settings.max_body_bytes)
    grpc_address = await _start_grpc(grpc, settings)
    addresses = {"a2a": f"http://{http.address}", "a2a_grpc": grpc_address}
    card = agent_card(
        settings.public_url or addresses["a2a"],
        settings.a2a_grpc_public_address or grpc_address,
        settings.oauth_issuer,
    )
    app = http_app(
        gate,
        ServedCard.of(card),
        JsonRpc(agent),
        HttpJson(agent),
        backends=backends,
        stopping=stop,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        resource=resource,
    )
    async with http.serving(app):
        announce(settings.ready_file, SERVICE, addresses)
        announced(addresses)
        await stop.wait()
        draining = asyncio.create_task(_drain(operations, store, grpc, settings.drain_s))
    await draining


def _policies() -> Iterator[Policy]:
    return (action.policy for action in ACTIONS.values())


async def _drain(operations: Operations, store: TaskStore, grpc: GrpcBinding, drain_s: float) -> None:
    operations.stop()
    store.release()
    await grpc.stop(drain_s)


async def _start_grpc(grpc: GrpcBinding, settings: A2aSettings) -> str:
    listen = settings.a2a_grpc_listen
    port = await grpc.start(listen, settings.a2a_grpc_tls_cert_file, settings.a2a_grpc_tls_key_file)
    return join_address(split_address(listen)[0], port)


def _store(settings: A2aSettings) -> TaskStore:
    return TaskStore(settings.a2a_tasks_kept, settings.a2a_tasks_kept_per_caller, settings.a2a_task_life_s)
