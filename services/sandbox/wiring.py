"""Builds the sandbox: senders first, since the mail links to their address, then mailbox and Google."""

import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from services.common.lifecycle import split_address
from services.sandbox.calendars import working_weeks
from services.sandbox.control import Control
from services.sandbox.corpus import import_corpus
from services.sandbox.faults import Faults
from services.sandbox.google_app import LocalGoogle
from services.sandbox.grants import Grants
from services.sandbox.list_mail import Addressee
from services.sandbox.mailbox import Mailbox
from services.sandbox.quota import TABLES, Ledger, QuotaTable
from services.sandbox.seed import seed
from services.sandbox.sender_routes import SenderHosts
from services.sandbox.senders import SenderBook
from services.sandbox.settings import Settings
from services.sandbox.world import Clock, World

OWNER = "Camille Moreau"
ADDRESS = "camille.moreau@sandbox.example"
ALIAS = "camille@atelier-moreau.example"
_SHUTDOWN_S = 1.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A serving sandbox."""

    world: World
    google_url: str
    senders_url: str


async def start(settings: Settings, stack: AsyncExitStack) -> Sandbox:
    """Serve; `stack` ends it.

    Raises:
        ValueError, FileNotFoundError: the corpus is not there or holds no message.
        OSError: an address is taken.

    """
    senders_socket = _bind(settings.senders_listen)
    google_socket = _bind(settings.listen)
    world = build_world(settings, _url(senders_socket))
    await _serve(SenderHosts(world).application(), senders_socket, stack)
    await _serve(google_application(world), google_socket, stack)
    stack.callback(world.faults.clear)  # held answers would keep the listeners open
    return Sandbox(world, _url(google_socket), _url(senders_socket))


def build_world(settings: Settings, senders_url: str) -> World:
    clock = Clock.starting_at(settings.sandbox_now)
    mailbox = Mailbox(ADDRESS, OWNER, (ALIAS,))
    senders = SenderBook(
        clock.now, Addressee(OWNER, ADDRESS, senders_url), Addressee(OWNER, ALIAS, senders_url)
    )
    if settings.sandbox_corpus:
        import_corpus(mailbox, settings.sandbox_corpus, clock.origin)
    else:
        seed(mailbox, senders, clock.origin)
    table = TABLES[settings.sandbox_quota_table]
    limit = settings.sandbox_quota_units_per_minute or table.units_per_minute
    return World(
        clock=clock,
        mailbox=mailbox,
        calendars=working_weeks(clock.origin, ADDRESS),
        grants=Grants(time.monotonic, settings.sandbox_token_ttl_s),
        ledger=Ledger(QuotaTable(limit, table.units), time.monotonic),
        senders=senders,
        faults=Faults(),
        latency_s=settings.sandbox_latency_ms / 1000,
    )


def google_application(world: World) -> web.Application:
    app = web.Application()
    Control(world).add_to(app)
    LocalGoogle(world).add_to(app)  # last: it answers every other path
    return app


def _bind(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family)
    bound.setblocking(False)
    return bound


def _url(bound: socket.socket) -> str:
    """Address to reach a socket by: one that listens everywhere is reached on loopback."""
    host, port = bound.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}"


async def _serve(app: web.Application, bound: socket.socket, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound).start()
