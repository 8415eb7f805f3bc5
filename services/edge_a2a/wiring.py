"""Builds the edge out of its parts and runs it. The only place that knows them all."""

import asyncio
from collections.abc import Callable

from protos.auth.v1 import auth_pb2_grpc
from protos.mail.v1 import mail_pb2_grpc
from services.common.audit_recorder import AuditRecorder
from services.common.client_address import ClientAddresses
from services.common.edge import MAIL_CORE, Gate
from services.common.grpc_client import Channel
from services.common.lifecycle import announce
from services.common.limits_edge import EdgeLimiter, windows_of
from services.common.passports import PassportBroker
from services.common.tls import TlsFiles
from services.edge_a2a.agent import Agent
from services.edge_a2a.agent_card import ServedCard, agent_card
from services.edge_a2a.grpc_binding import GrpcBinding
from services.edge_a2a.http_app import IsReady, http_app
from services.edge_a2a.http_json import HttpJson
from services.edge_a2a.http_server import HttpServer
from services.edge_a2a.json_rpc import JsonRpc
from services.edge_a2a.operations import Operations
from services.edge_a2a.settings import A2aSettings
from services.edge_a2a.task_store import TaskStore

SERVICE = "edge_a2a"
AUTH = "auth"


async def serve(
    settings: A2aSettings, stop: asyncio.Event, announced: Callable[[dict[str, str]], None] = lambda _: None
) -> None:
    """Serve until `stop` is set, then drain. `announced` gets the addresses once all is listening."""
    tls = TlsFiles.of(settings)
    auth = Channel(settings.auth_address, AUTH, tls)
    mail_core = Channel(settings.mail_core_address, MAIL_CORE, tls)
    recorder = AuditRecorder(SERVICE, auth_pb2_grpc.AuditServiceStub(auth).AppendEvents)
    limiter = EdgeLimiter(windows_of(settings), settings, recorder.limit_hit)
    broker = PassportBroker(auth, resource=settings.public_url)
    try:
        async with broker.following(), recorder.recording():
            await _serve(
                settings, stop, announced, auth, mail_core, broker=broker, limiter=limiter, recorder=recorder
            )
    finally:
        await asyncio.gather(auth.close(), mail_core.close(), limiter.close())


async def _serve(
    settings: A2aSettings,
    stop: asyncio.Event,
    announced: Callable[[dict[str, str]], None],
    auth: Channel,
    mail_core: Channel,
    *,
    broker: PassportBroker,
    limiter: EdgeLimiter,
    recorder: AuditRecorder,
) -> None:
    gate = Gate(
        SERVICE,
        broker,
        limiter,
        ClientAddresses(settings.trusted_proxies),
        sample_ratio=settings.trace_sample_ratio,
        request_timeout_s=settings.request_timeout_s,
        on_refused=recorder.refused,
    )
    mail = mail_pb2_grpc.MailServiceStub(mail_core)
    operations = Operations(mail)
    store = _store(settings)
    agent = Agent(mail, operations, store)
    http = HttpServer(settings.listen, settings.drain_s)
    grpc = GrpcBinding(agent, gate, max_message_bytes=settings.max_body_bytes)
    grpc_address = await _start_grpc(grpc, settings)
    addresses = {"a2a": _url(http), "a2a_grpc": grpc_address}
    card = agent_card(
        settings.public_url or addresses["a2a"], settings.a2a_grpc_public_address or grpc_address
    )
    app = http_app(
        gate,
        ServedCard.of(card),
        JsonRpc(agent),
        HttpJson(agent),
        _readiness(stop, auth, mail_core),
        max_body_bytes=settings.max_body_bytes,
    )
    announce(settings.ready_file, SERVICE, addresses)
    announced(addresses)
    draining = asyncio.create_task(_drain(stop, operations, store, grpc, settings.drain_s))
    await http.serve_until(app, stop)
    stop.set()
    await draining


async def _drain(
    stop: asyncio.Event, operations: Operations, store: TaskStore, grpc: GrpcBinding, drain_s: float
) -> None:
    await stop.wait()
    operations.stop()
    store.release()
    await grpc.stop(drain_s)


async def _start_grpc(grpc: GrpcBinding, settings: A2aSettings) -> str:
    listen = settings.a2a_grpc_listen
    port = await grpc.start(listen, settings.a2a_grpc_tls_cert_file, settings.a2a_grpc_tls_key_file)
    return f"{listen.rpartition(':')[0]}:{port}"


def _store(settings: A2aSettings) -> TaskStore:
    return TaskStore(settings.a2a_tasks_kept, settings.a2a_tasks_kept_per_caller, settings.a2a_task_life_s)


def _readiness(stop: asyncio.Event, *backends: Channel) -> IsReady:
    async def is_ready() -> bool:
        if stop.is_set():
            return False
        return all(await asyncio.gather(*(backend.is_serving() for backend in backends)))

    return is_ready


def _url(http: HttpServer) -> str:
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{host}:{http.port}"
