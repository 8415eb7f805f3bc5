"""JWTs signed with keys that the issuer publishes as a JWK Set (RFC 7517) at a fixed address.

The address is the operator's; nothing in a token (`jku`, `x5u`, `kid`) can lead us elsewhere.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from services.auth.adapters.verification_keys import BoundKey, PublishedKey, keys_of
from services.common.answers import read_at_most
from services.common.errors import AppError, unavailable
from services.common.telemetry import get_logger

ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 256 * 1024
FRESH_S: Final = 300.0
"""After this the set is fetched again, so that a key which the issuer withdrew stops counting."""
STALE_S: Final = 3_600.0
"""So long the last good set is believed while the issuer does not answer."""
UNKNOWN_KEY_S: Final = 10.0
"""At most so often the issuer is asked because of a `kid` that we do not know."""
RETRY_S: Final = 2.0
"""So soon the issuer is asked again after it failed."""


class JwksIssuer:
    """The published keys of one issuer, cached. `monotonic_s` is a clock in seconds."""

    def __init__(
        self,
        url: str,
        algorithms: frozenset[str],
        monotonic_s: Callable[[], float],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._algorithms = algorithms & ALGORITHMS
        self._now = monotonic_s
        self._keys: tuple[PublishedKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._renewing: asyncio.Task[bool] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def candidates(self, algorithm: str, key_id: str | None) -> tuple[BoundKey, ...]:
        """Give the keys that may have signed such a token.

        Raises AppError UNAVAILABLE ISSUER_DOWN when the keys cannot be had.
        """
        if algorithm not in self._algorithms:
            return ()
        if self._age_s() > STALE_S and not await self._renew():
            raise _down()
        if self._age_s() > FRESH_S:
            self._renew_aside()
        found = self._matching(algorithm, key_id)
        if not found and await self._renew():
            found = self._matching(algorithm, key_id)
        if not found and self._is_failing():
            # The key may be one that the issuer has just begun to use; nobody can tell now.
            raise _down()
        return found

    async def close(self) -> None:
        """Close what is open."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _matching(self, algorithm: str, key_id: str | None) -> tuple[BoundKey, ...]:
        fitting = [published for published in self._keys if published.key.algorithm == algorithm]
        if key_id is not None:
            return tuple(published.key for published in fitting if published.key_id == key_id)
        # Without a `kid` only a set that leaves no choice will do.
        return (fitting[0].key,) if len(fitting) == 1 else ()

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at is None else self._now() - self._fetched_at

    def _is_failing(self) -> bool:
        return self._tried_at is not None and (self._fetched_at is None or self._fetched_at < self._tried_at)

    def _may_ask(self) -> bool:
        pause_s = RETRY_S if self._is_failing() else UNKNOWN_KEY_S
        return self._tried_at is None or self._now() - self._tried_at >= pause_s

    def _renew_aside(self) -> asyncio.Task[bool] | None:
        """Fetch in a task of its own, one at a time; None when that was done a moment ago."""
        is_running = self._renewing is not None and not self._renewing.done()
        if not is_running:
            self._renewing = asyncio.create_task(self._fetch_keys()) if self._may_ask() else None
        return self._renewing

    async def _renew(self) -> bool:
        """Fetch and wait for it. A caller that gives up does not end the fetch that others wait for."""
        renewing = self._renew_aside()
        return renewing is not None and await asyncio.shield(renewing)

    async def _fetch_keys(self) -> bool:
        self._tried_at = self._now()
        try:
            self._keys = keys_of(await self._fetch(), self._algorithms)
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            get_logger().warning("issuer_keys_not_fetched", error=type(error).__name__)
            return False
        self._fetched_at = self._tried_at
        get_logger().info("issuer_keys_fetched", keys=len(self._keys))
        return True

    async def _fetch(self) -> dict[str, Any]:
        async with self._open().get(self._url, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004  the only status that carries a JWK Set
                raise ValueError(f"the issuer answered {response.status}")
            content = await read_at_most(response, MAX_BYTES)
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("the issuer answered with no JWK Set")  # noqa: TRY004  bad content, not a bug
        return document

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                headers={"Accept": "application/jwk-set+json, application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _down() -> AppError:
    message = "The keys of the token's issuer cannot be fetched now."
    return unavailable("ISSUER_DOWN", message, retry_after_s=RETRY_S)
