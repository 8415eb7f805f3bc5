"""Access tokens from refresh tokens: one refresh at a time for a grant, kept until shortly before the end."""

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from services.common.context import current_call
from services.common.telemetry import span
from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.clock import Clock, sleep
from services.mail_core.adapters.google_errors import GoogleRefusedError, Handling, grant_revoked, no_answer
from services.mail_core.ports import GoogleGrant

# RFC 6749 §5.2, and Google's own for clients that are gone. All need the owner, or the operator, to act.
_GRANT_ENDED: Final = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "deleted_client",
        "disabled_client",
        "invalid_scope",
    }
)
_DEFAULT_LIFE_S: Final = 3600.0
_LONGEST_LIFE_S: Final = 86_400.0
_MARGIN_S: Final = 60.0
_OK: Final = 200


@dataclass(slots=True)
class AccessTokens:
    """The access token of one grant. Its text is never logged, traced or put into an error."""

    grant: GoogleGrant
    token_uri: str
    http: aiohttp.ClientSession
    clock: Clock
    backoff: Backoff
    _token: str = field(default="", repr=False)
    _good_until: float = 0.0
    _refreshing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self) -> str:
        """Give a token that is good for now.

        Raises FAILED_PRECONDITION GMAIL_GRANT_REVOKED or UNAVAILABLE GMAIL_DOWN.
        """
        if self._is_good():
            return self._token
        async with self._refreshing:
            # Whoever held the lock before may have done it for us.
            if not self._is_good():
                await self._refresh()
            return self._token

    def forget(self, refused: str) -> None:
        """Drop a token that Google refused, unless a newer one is already here."""
        if refused == self._token:
            self._token = ""

    def _is_good(self) -> bool:
        return bool(self._token) and self.clock.now() < self._good_until

    async def _refresh(self) -> None:
        with span("google.oauth2.token"):
            answer = await self._ask_until_answered()
        life_s = _life_s(answer.get("expires_in"))
        self._token = answer["access_token"]
        self._good_until = self.clock.now() + life_s - min(_MARGIN_S, life_s / 10)

    async def _ask_until_answered(self) -> dict[str, Any]:
        for failures in itertools.count(1):
            try:
                return await self._ask()
            except GoogleRefusedError as refusal:
                wait_s = self.backoff.delay_s(failures)
                if (
                    refusal.handling is not Handling.RETRY
                    or self.backoff.is_last(failures)
                    or _is_too_late(wait_s)
                ):
                    raise
            await sleep(self.clock, wait_s)
        raise AssertionError("unreachable")

    async def _ask(self) -> dict[str, Any]:
        form = {
            "grant_type": "refresh_token",
            "client_id": self.grant.client_id,
            "client_secret": self.grant.client_secret,
            "refresh_token": self.grant.refresh_token,
        }
        try:
            async with self.http.post(self.token_uri, data=form, allow_redirects=False) as response:
                return _read(response.status, await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise no_answer("gmail", was_sent=False) from error


def _is_too_late(wait_s: float) -> bool:
    call = current_call()
    left_s = call.time_left_s() if call else None
    return left_s is not None and left_s <= wait_s


def _read(status: int, content: bytes) -> dict[str, Any]:
    answer: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        answer = orjson.loads(content)
    if not isinstance(answer, dict):
        raise no_answer("gmail", was_sent=False)
    if status == _OK and isinstance(answer.get("access_token"), str) and answer["access_token"].isascii():
        return answer
    if answer.get("error") in _GRANT_ENDED:
        raise grant_revoked()
    raise no_answer("gmail", was_sent=False)


def _life_s(expires_in: Any) -> float:
    if isinstance(expires_in, (int, float)) and not isinstance(expires_in, bool) and expires_in > 0:
        return min(float(expires_in), _LONGEST_LIFE_S)
    return _DEFAULT_LIFE_S
