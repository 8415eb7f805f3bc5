"""Opens Gmail and Calendar for grants, and keeps what their users share: connections, tokens, quota."""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.calendar_api import CalendarApi
from services.mail_core.adapters.clock import Clock, SystemClock
from services.mail_core.adapters.gmail_api import GmailApi
from services.mail_core.adapters.gmail_reader import GmailReader, MetadataRequests
from services.mail_core.adapters.google_client import GoogleClient, Wire
from services.mail_core.adapters.google_grant import check_address, read_grant
from services.mail_core.adapters.google_oauth import AccessTokens
from services.mail_core.adapters.google_services import google_services
from services.mail_core.adapters.quota import QuotaLedger
from services.mail_core.domain.pacing import units, units_per_minute
from services.mail_core.ports import Calendar, Gmail, GoogleGrant, Priority

_CONNECTIONS: Final = 100
_MANY_ACCOUNTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class GoogleConfig:
    """Where Google is and how much it lets us do. Empty addresses mean Google's own."""

    api_endpoint: str = ""
    token_uri: str = ""
    quota_table: str = "2026"
    units_per_minute: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    try_s: float = 30.0
    background_s: float = 900.0


@dataclass(frozen=True, slots=True)
class _Account:
    """What all work on one grant shares."""

    tokens: AccessTokens
    ledger: QuotaLedger
    batch_turn: asyncio.Semaphore


class Google:
    """Google, for all mailboxes of this process. When there are very many, those that rest are forgotten."""

    def __init__(self, config: GoogleConfig, wire: Wire) -> None:
        self._config = config
        self._wire = wire
        self._token_uri = check_address("GOOGLE_TOKEN_URI", config.token_uri)
        self._services = google_services(check_address("GOOGLE_API_ENDPOINT", config.api_endpoint))
        self._metadata_requests = MetadataRequests(self._services)
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()
        self._units_of_get = units("messages.get", config.quota_table)

    def read_grant(self, token_json: str) -> GoogleGrant:
        """Read the personal agent's token.json. Raises INVALID_ARGUMENT TOKEN_FILE_INVALID."""
        return read_grant(token_json)

    def gmail(self, grant: GoogleGrant, priority: Priority = Priority.INTERACTIVE) -> Gmail:
        """Open the mailbox of a grant."""
        account = self._account(grant)
        client = GoogleClient("gmail", self._wire, account.tokens, account.ledger, priority)
        reader = GmailReader(
            client, self._metadata_requests, self._services.batch_uri, account.batch_turn, self._units_of_get
        )
        return GmailApi(client, self._services, reader, self._config.quota_table)

    def calendar(self, grant: GoogleGrant) -> Calendar:
        """Open the calendars of a grant."""
        client = GoogleClient("calendar", self._wire, self._account(grant).tokens, ledger=None)
        return CalendarApi(client, self._services)

    def _account(self, grant: GoogleGrant) -> _Account:
        key = _fingerprint(grant)
        account = self._accounts.get(key) or self._open(grant)
        self._accounts[key] = account
        self._accounts.move_to_end(key)
        self._forget_resting()
        return account

    def _open(self, grant: GoogleGrant) -> _Account:
        token_uri = self._token_uri or grant.token_uri
        tokens = AccessTokens(grant, token_uri, self._wire.http, self._wire.clock, self._config.backoff)
        limit = self._config.units_per_minute or units_per_minute(self._config.quota_table)
        return _Account(tokens, QuotaLedger(limit, self._wire.clock), asyncio.Semaphore(1))

    def _forget_resting(self) -> None:
        if len(self._accounts) > _MANY_ACCOUNTS:
            oldest, account = next(iter(self._accounts.items()))
            if account.ledger.is_idle():
                del self._accounts[oldest]


def _fingerprint(grant: GoogleGrant) -> bytes:
    parts = (grant.client_id, grant.client_secret, grant.refresh_token, grant.token_uri)
    return hashlib.sha256("\0".join(parts).encode()).digest()


@contextlib.asynccontextmanager
async def open_google(config: GoogleConfig, clock: Clock | None = None) -> AsyncIterator[Google]:
    """Open the connections to Google for the length of the block. Raises ValueError: unfit address."""
    async with _session(config, force_close=False) as http, _session(config, force_close=True) as fresh_http:
        wire = Wire(
            http, fresh_http, clock or SystemClock(), config.backoff, config.try_s, config.background_s
        )
        yield Google(config, wire)


def _session(config: GoogleConfig, *, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, force_close=force_close),
        # One session serves every tenant: nothing of an answer may travel with another's request.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=config.try_s),
    )
