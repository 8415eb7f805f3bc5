"""What an edge asks: auth, and the mail core."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from protos.auth.v1 import auth_pb2_grpc
from services.common.audit_recorder import AuditRecorder
from services.common.client_address import ClientAddresses
from services.common.configured import configured
from services.common.edge import MAIL_CORE, Gate
from services.common.errors import unavailable
from services.common.grpc_client import Channel
from services.common.limits_edge import EdgeLimiter, windows_of
from services.common.passports import PassportBroker
from services.common.settings import EdgeSettings
from services.common.tls import TlsFiles

AUTH: Final = "auth"


class Probed(Protocol):
    """Something that can say whether it serves."""

    async def which_serve(self) -> dict[str, bool]:
        """Whether each backend would take a call now, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Backends:
    """Connections to both, and the gate through which requests come in."""

    auth: Channel
    mail_core: Channel
    gate: Gate

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(
        cls, edge: str, settings: EdgeSettings, *, more_time_s: float = 0.0
    ) -> AsyncIterator["Backends"]:
        """Connect one edge, follow revocations and record refusals until the block ends.

        Connections open when they are first used. `more_time_s` is for requests that wait for an operation.
        """
        tls = TlsFiles.of(settings)
        auth = Channel(settings.auth_address, AUTH, tls)
        mail_core = Channel(settings.mail_core_address, MAIL_CORE, tls)
        recorder = AuditRecorder(edge, auth_pb2_grpc.AuditServiceStub(auth).AppendEvents)
        limiter = EdgeLimiter(windows_of(settings), settings, recorder.limit_hit)
        broker = PassportBroker(auth, resource=settings.resource)
        gate = Gate(
            edge,
            broker,
            limiter,
            ClientAddresses(settings.trusted_proxies),
            sample_ratio=settings.trace_sample_ratio,
            request_timeout_s=settings.request_timeout_s + more_time_s,
            on_refused=recorder.refused,
        )
        recorder.note(configured(edge, settings))
        try:
            async with broker.following(), recorder.recording():
                yield cls(auth, mail_core, gate)
        finally:
            await asyncio.gather(auth.close(), mail_core.close(), limiter.close())

    async def which_serve(self) -> dict[str, bool]:
        """Whether each backend would take a call now, by name."""
        answers = await asyncio.gather(self.auth.is_serving(), self.mail_core.is_serving())
        return dict(zip((AUTH, MAIL_CORE), answers, strict=True))


async def require_serving(backends: Probed) -> None:
    """Raise AppError UNAVAILABLE NOT_READY, naming who is missing, unless every backend serves."""
    missing = [name for name, is_serving in (await backends.which_serve()).items() if not is_serving]
    if missing:
        raise unavailable("NOT_READY", f"Not reachable: {', '.join(missing)}.")
