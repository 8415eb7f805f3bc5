"""What an edge asks: auth, and the mail core."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from services.common.edge import MAIL_CORE, Gate
from services.common.errors import unavailable
from services.common.grpc_client import Channel
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
    """Connections to both."""

    auth: Channel
    mail_core: Channel

    @classmethod
    def connect(cls, settings: EdgeSettings) -> "Backends":
        """Make the connections; they open when they are first used."""
        tls = TlsFiles.of(settings)
        return cls(
            Channel(settings.auth_address, AUTH, tls), Channel(settings.mail_core_address, MAIL_CORE, tls)
        )

    def gate(self, edge: str, settings: EdgeSettings, *, more_time_s: float = 0.0) -> Gate:
        """Make the gate of one edge. `more_time_s` is for requests that wait for an operation."""
        return Gate(
            edge,
            PassportBroker(self.auth),
            sample_ratio=settings.trace_sample_ratio,
            request_timeout_s=settings.request_timeout_s + more_time_s,
        )

    async def which_serve(self) -> dict[str, bool]:
        """Whether each backend would take a call now, by name."""
        answers = await asyncio.gather(self.auth.is_serving(), self.mail_core.is_serving())
        return dict(zip((AUTH, MAIL_CORE), answers, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self.auth.close(), self.mail_core.close())


async def require_serving(backends: Probed) -> None:
    """Raise AppError UNAVAILABLE NOT_READY, naming who is missing, unless every backend serves."""
    missing = [name for name, is_serving in (await backends.which_serve()).items() if not is_serving]
    if missing:
        raise unavailable("NOT_READY", f"Not reachable: {', '.join(missing)}.")
