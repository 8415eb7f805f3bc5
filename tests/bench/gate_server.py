"""One handler behind four doors: none; our gate with a passport at hand, without one, past a limit."""

import asyncio
import os
import sys
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from services.common import telemetry
from services.common.client_address import ClientAddresses, Peer
from services.common.edge import Gate
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.limits import REFUSED
from services.common.limits_edge import EdgeLimiter
from services.common.limits_memory import MemoryWindows
from services.common.passports import Credential, PassportBroker
from services.common.settings import BaseServiceSettings, LimitSettings
from services.common.tls import TlsFiles
from tests.bench.serving import announce, listening, settings

_NO_LIMIT = 10_000_000


class Doors:
    """The four doors. All share one broker, as the requests of one edge do."""

    def __init__(self, channel: Channel, keys: list[str]) -> None:
        self._broker = PassportBroker(channel)
        self._open = self._gate(_NO_LIMIT)
        self._limited = self._gate(1)
        self._keys = cycle(keys)

    async def bare(self, request: web.Request) -> web.Response:
        """Answer whoever asks."""
        del request
        return _answer()

    async def warm(self, request: web.Request) -> web.Response:
        """Know the credential from before."""
        return await self._admitted(self._open, request.headers)

    async def cold(self, request: web.Request) -> web.Response:
        """Meet the credential for the first time: another one than those that are being asked about."""
        del request
        key = next(self._keys)
        self._broker._held.pop((Credential("api_key", key).digest(), "mail_core"), None)
        return await self._admitted(self._open, {"X-API-Key": key})

    async def limited(self, request: web.Request) -> web.Response:
        """Refuse: the one request of this minute was asked before. Told as 200, so that it can be counted."""
        return await self._admitted(self._limited, request.headers)

    def _gate(self, per_minute: int) -> Gate:
        limits = LimitSettings(
            rate_limit_per_minute=per_minute,
            rate_limit_team_per_minute=_NO_LIMIT,
            rate_limit_failures_per_minute=_NO_LIMIT,
        )
        return Gate(
            "bench",
            self._broker,
            EdgeLimiter(MemoryWindows(), limits),
            ClientAddresses(),
            sample_ratio=0.01,
            request_timeout_s=30,
        )

    async def _admitted(self, gate: Gate, headers: Mapping[str, str]) -> web.Response:
        with gate.admit(headers, "GET /", Peer("127.0.0.1")) as admission:
            try:
                await admission.authenticate()
                admission.status = 200
            except AppError as error:
                if error.reason != REFUSED:
                    raise
                admission.status, admission.reason = error.mapped.http_status, error.reason
            return _answer(admission.limit_headers())


def _answer(headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=b'{"hello":"world"}', content_type="application/json", headers=headers)


async def main() -> None:
    """Serve until killed."""
    told: dict[str, Any] = settings()
    certs = Path(told["certs"])
    tls = TlsFiles(certs / "edge_rest.pem", certs / "edge_rest.key", certs / "ca.pem")
    doors = Doors(Channel(told["auth"], "auth", tls), told["keys"])
    app = web.Application()
    for name in ("bare", "warm", "cold", "limited"):
        app.router.add_get(f"/{name}", getattr(doors, name))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = listening()
    await web.SockSite(runner, listener).start()
    announce(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    # Log lines are written, to where nobody keeps them.
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  for as long as we live
    telemetry.start("bench", BaseServiceSettings())
    uvloop.run(main())
