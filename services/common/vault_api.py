"""Speaks HTTP with HashiCorp Vault or OpenBao: the token, the namespace, and what a failure is.

The address is the operator's. Redirects are not followed, for a token goes with every request. Whatever is
not an answer that the caller can use is KEY_SERVICE_DOWN; neither a token nor a word of an answer gets into
an error or a log. API: https://openbao.org/api-docs, https://developer.hashicorp.com/vault/api-docs.
"""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from services.common.answers import read_at_most
from services.common.errors import AppError, unavailable
from services.common.telemetry import get_logger
from services.common.watched_files import WatchedFiles

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_CONNECTIONS: Final = 8
TRIES: Final = 2
RETRY_S: Final = 0.1
"""A second try waits for half of this to all of it, by chance: many replicas must not come back at once."""
_OK: Final = 200
_DENIED: Final = 403
_NOT_FOUND: Final = 404
_WORTH_ANOTHER_TRY: Final = frozenset({_DENIED, 412, 429, 500, 502, 503, 504})
"""Denied: the token may have been replaced. 412: a standby that has not heard of it yet."""
_RENEW_AT: Final = 2 / 3
"""A token of a login is replaced after this share of its life."""


@dataclass(frozen=True, slots=True)
class VaultConfig:
    """Where a Vault is and how we show who we are: a token in a file, or a role of the Kubernetes method.

    `ca_file` is PEM; without it the authorities of the machine are trusted.
    """

    url: str
    timeout_s: float = 3.0
    namespace: str = ""
    ca_file: Path | None = None
    token_file: Path | None = None
    role: str = ""
    role_mount: str = "kubernetes"
    role_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status of HTTP, and `data` of the body; empty when there was none."""

    status: int
    data: Mapping[str, Any] = field(repr=False)

    @property
    def is_good(self) -> bool:
        """Whether the call did what it was to do."""
        return self.status == _OK

    @property
    def is_missing(self) -> bool:
        """Whether there is no such thing."""
        return self.status == _NOT_FOUND


class VaultApi:
    """Calls one Vault. Open until `close`."""

    def __init__(self, config: VaultConfig) -> None:
        """Read token and authorities. Raises ValueError or OSError; neither quotes them."""
        self._config = config
        self._tls = WatchedFiles(
            "vault_ca", [config.ca_file] if config.ca_file else [], lambda: _trusting(config.ca_file)
        )
        self._login = _Login(config) if config.role else None
        self._token = None if self._login else _token_in(config.token_file)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Call `/v1/{path}`, a second time where that may help.

        Raises AppError UNAVAILABLE KEY_SERVICE_DOWN.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                headers = {"X-Vault-Token": await self._current_token()}
                answer = _read(await self._send(method, path, body, headers))
            except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError, OSError) as error:
                get_logger().warning("key_service_failed", path=path, error=type(error).__name__)
            else:
                if answer.is_good or answer.is_missing or "batch_results" in answer.data:
                    return answer
                get_logger().warning("key_service_refused", path=path, status=answer.status)
                if answer.status == _DENIED and self._login:
                    self._login.forget()
                if answer.status not in _WORTH_ANOTHER_TRY:
                    break
            if tries_left:
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1))  # noqa: S311  no secret
        raise key_service_down()

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def _current_token(self) -> str:
        if self._login is not None:
            return await self._login.token(self._send)
        return self._token.refresh() if self._token is not None else ""

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        request = self._open().request(
            method,
            f"{self._config.url}/v1/{path}",
            json=body,
            headers=headers,
            ssl=self._tls.current(),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
            allow_redirects=False,
        )
        async with request as response:
            if "Content-Encoding" in response.headers:
                raise ValueError("the answer is not plain JSON")
            return response.status, await read_at_most(response, MAX_BYTES)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
            if self._config.namespace:
                headers["X-Vault-Namespace"] = self._config.namespace
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class _Login:
    """A token of the Kubernetes auth method, got with our service account's, and replaced in time."""

    def __init__(self, config: VaultConfig) -> None:
        self._config = config
        self._token = ""
        self._renew_at = 0.0
        self._alone = asyncio.Lock()

    async def token(self, send: Any) -> str:
        """Give a token, logging in when the last one is old. Raises ValueError when that is refused."""
        async with self._alone:
            if not self._token or time.monotonic() >= self._renew_at:
                # The projected token is replaced by the kubelet: read each time.
                jwt = await asyncio.to_thread(self._config.role_token_file.read_text)
                body = {"role": self._config.role, "jwt": jwt.strip()}
                answer = await send("POST", f"auth/{self._config.role_mount}/login", body, {})
                self._token, life_s = _token_of(*answer)
                self._renew_at = time.monotonic() + life_s * _RENEW_AT
            return self._token

    def forget(self) -> None:
        """Log in again next time."""
        self._token = ""


def key_service_down() -> AppError:
    """Make the error of a key service that does not do what it is asked."""
    return unavailable("KEY_SERVICE_DOWN", "The service that holds the master key does not answer.")


def _token_in(file: Path | None) -> WatchedFiles[str]:
    if file is None:
        raise ValueError("neither a token file nor a role")
    return WatchedFiles("vault_token", [file], lambda: _one_word(file))


def _one_word(file: Path) -> str:
    token = file.read_text().strip()
    if not (token.isascii() and token.isprintable() and token):
        raise ValueError(f"{file}: must hold one token")
    return token


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def _read(answered: tuple[int, bytes]) -> Answer:
    status, content = answered
    try:
        document = json.loads(content)
    except ValueError:
        # Nothing, or a proxy in between answers in its own words: the status is what counts.
        document = {}
    data = document.get("data") if isinstance(document, dict) else None
    if status == _OK and not isinstance(data, dict):
        raise ValueError("the answer has no data")
    return Answer(status, data if isinstance(data, dict) else {})


def _token_of(status: int, content: bytes) -> tuple[str, float]:
    if status != _OK:
        get_logger().warning("key_service_login_refused", status=status)
        raise ValueError("the login was refused")
    document = json.loads(content)
    auth = document.get("auth") if isinstance(document, dict) else None
    found = auth if isinstance(auth, dict) else {}
    token, life_s = found.get("client_token"), found.get("lease_duration")
    if not isinstance(token, str) or not token.isascii() or not token or not isinstance(life_s, int):
        raise ValueError("the login gave no token")
    return token, float(life_s)
