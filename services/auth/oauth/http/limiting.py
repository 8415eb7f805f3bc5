"""How often one address may come to the listener, and how often with a credential that is refused.

Nobody here has shown who they are yet, so addresses are what is counted: together with other replicas when
there is a REDIS_URL, and behind proxies only when these are TRUSTED_PROXIES.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from services.auth.oauth.domain.errors import OAuthError, too_many
from services.auth.oauth.settings import OAuthSettings
from services.common.client_address import FORWARDED_HEADER, ClientAddresses, Peer, site_of
from services.common.limits import Limit, Verdict, Windows, headers_of
from services.common.limits_memory import MemoryWindows

INTROSPECTION_FACTOR: Final = 10
"""A resource server asks for many clients from one address."""
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_CREDENTIALS: Final = frozenset({"token", "introspect", "revoke", "sign-in"})
"""Routes that take a credential; a refused one counts as a failure of the address."""
_REFUSED: Final = frozenset({"invalid_client", "invalid_grant"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OnHit = Callable[[Limit], Awaitable[None]]
"""Told of an address that ran into a limit, at most once a minute."""


class AddressLimits:
    """Counts requests of the listener by route and address."""

    def __init__(self, windows: Windows, settings: OAuthSettings, on_hit: OnHit) -> None:
        self._windows = windows
        self._settings = settings
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self._on_hit = on_hit
        self._told = MemoryWindows()
        self._telling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let what is being told be told, and let go of connections."""
        await asyncio.gather(*self._telling, return_exceptions=True)
        await self._windows.close()

    async def guarded(self, route: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request of an address that stands well. Raises OAuthError with a wait otherwise."""
        peer = Peer(request.remote or "", request.headers.getall(FORWARDED_HEADER, ()))
        site = site_of(self._addresses.of(peer))
        verdict = await self._judged(self._limit_of(route, site))
        failures = self._failures_of(route, site)
        if failures is not None:
            await self._judged(failures, counts=False)
        try:
            response = await handler(request)
        except OAuthError as error:
            if failures is not None and error.code in _REFUSED:
                await self._judged(failures)
            raise
        if failures is not None and response.status in {_UNAUTHORIZED, _FORBIDDEN}:
            await self._judged(failures)
        response.headers.update(headers_of(verdict))
        return response

    async def _judged(self, limit: Limit, *, counts: bool = True) -> Verdict:
        verdict = await self._windows.admit((limit,), counts=counts)
        refused = verdict.refused
        if refused is not None:
            self._tell(refused.limit)
            raise too_many(max(1, math.ceil(refused.reset_s)))
        return verdict

    def _limit_of(self, route: str, site: str) -> Limit:
        per_minute = self._settings.rate_limit_address_per_minute
        # A name of its own for each route: who polls for tokens does not keep people from signing in.
        bound = {
            "sign-in": self._settings.oauth_sign_ins_per_minute,
            "register": self._settings.oauth_registrations_per_minute,
            "introspect": per_minute * INTROSPECTION_FACTOR,
        }.get(route, per_minute)
        return Limit("address", f"oauth:{route}:{site}", bound)

    def _failures_of(self, route: str, site: str) -> Limit | None:
        if route not in _CREDENTIALS:
            return None
        return Limit("failures", f"oauth:failures:{site}", self._settings.rate_limit_failures_per_minute)

    def _tell(self, limit: Limit) -> None:
        once = Limit("told", f"{limit.name}:{limit.subject}", 1)
        if self._told.admit_now((once,)).refused is None:
            task = asyncio.ensure_future(self._on_hit(limit))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
