"""Registers clients that cannot describe themselves at an address of their own (RFC 7591)."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.auth.oauth import events
from services.auth.oauth.domain.clients import Client, client_of_metadata
from services.auth.oauth.domain.errors import unavailable
from services.auth.oauth.domain.grants import CLIENT_SECRET_PREFIX, SECRET_BYTES, hash_of, secret_of
from services.auth.oauth.ports import Clients, Clock, RandomBytes

_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Registered:
    """A new client. The secret is shown once and kept nowhere; public clients have none."""

    client: Client
    issued_at: int
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RegisterClient:
    """Take a client's word for what it is called and where its answers go; people are told that it is one."""

    clients: Clients
    clock: Clock
    random_bytes: RandomBytes

    async def __call__(self, said: Mapping[str, Any]) -> Registered:
        """Register.

        Raises OAuthError invalid_client_metadata, invalid_redirect_uri, temporarily_unavailable.
        """
        client_id = "mc_" + urlsafe_b64encode(self.random_bytes(_ID_BYTES)).rstrip(b"=").decode()
        client = client_of_metadata(client_id, said)
        secret = ""
        if client.auth_method != "none":
            secret = secret_of(CLIENT_SECRET_PREFIX, self.random_bytes(SECRET_BYTES))
            client = replace(client, secret_hash=hash_of(secret))
        now = self.clock()
        if not await self.clients.add(client, now, events.registered(client.id)):
            raise unavailable()
        return Registered(client, int(now.timestamp()), secret)
