"""Asks an OAuth issuer about tokens at its introspection endpoint (RFC 7662 §2.1).

Fails closed: whatever is not a plain answer with status 200 is ISSUER_DOWN. Neither the token nor a word of
the answer gets into an error or a log.
"""

from base64 import b64encode
from typing import Any, Final
from urllib.parse import quote_plus

import aiohttp

from services.auth.domain.refusals import issuer_down
from services.auth.domain.strict_json import read_object
from services.common.answers import read_at_most
from services.common.context import bounded_timeout_s
from services.common.telemetry import get_logger

MAX_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 32
_SPARE_S: Final = 0.25
"""Time that we keep of the caller's deadline, to tell who it was that did not answer."""
_JSON: Final = "application/json"
_OK: Final = 200


class IntrospectionEndpoint:
    """One issuer's endpoint. Open until `close`."""

    def __init__(self, url: str, timeout_s: float, client_id: str = "", client_secret: str = "") -> None:
        self._url = url
        self._timeout_s = timeout_s
        # No compression: an answer is as long as it says, and no longer.
        self._headers = {"Accept": _JSON, "Accept-Encoding": "identity"}
        if client_id:
            self._headers["Authorization"] = _basic(client_id, client_secret)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, token: str) -> dict[str, Any]:
        """Give the issuer's answer. Raises AppError UNAVAILABLE ISSUER_DOWN."""
        try:
            return read_object(await self._ask(token))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            get_logger().warning("introspection_failed", error=type(error).__name__)
            raise issuer_down() from None

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, token: str) -> bytes:
        form = {"token": token, "token_type_hint": "access_token"}
        timeout = aiohttp.ClientTimeout(total=self._time_s())
        request = self._open().post(self._url, data=form, timeout=timeout, allow_redirects=False)
        async with request as response:
            if response.status != _OK:
                get_logger().warning("introspection_refused", status=response.status)
                raise ValueError("the status is not 200")
            if response.content_type != _JSON or "Content-Encoding" in response.headers:
                raise ValueError("the answer is not plain JSON")
            return await read_at_most(response, MAX_BYTES)

    def _time_s(self) -> float:
        left_s = bounded_timeout_s(self._timeout_s + _SPARE_S)
        return max((left_s or 0.0) - _SPARE_S, 0.001)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _basic(client_id: str, client_secret: str) -> str:
    # Both are form-encoded before they are joined (RFC 6749 §2.3.1).
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {b64encode(pair.encode()).decode()}"
