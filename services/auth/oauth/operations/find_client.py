"""Finds out which client is meant, and whether it is really that one."""

from dataclasses import dataclass
from hmac import compare_digest

from services.auth.oauth.domain.blocking import addresses_of
from services.auth.oauth.domain.clients import Client, is_document_url, is_registered_id
from services.auth.oauth.domain.errors import OAuthError, client_blocked, invalid_client
from services.auth.oauth.domain.grants import hash_of
from services.auth.oauth.ports import BlockedClients, ClientDocuments, Clients


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client sent to say which one it is."""

    client_id: str
    secret: str = ""
    method: str = "none"

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r})"


@dataclass(frozen=True, slots=True)
class FindClient:
    """Find a client by its id: one that registered, or one that describes itself at its own address."""

    clients: Clients
    documents: ClientDocuments
    blocked: BlockedClients

    async def __call__(self, client_id: str) -> Client:
        """Give a client.

        Raises OAuthError invalid_client, invalid_client_metadata, invalid_redirect_uri, unauthorized_client.
        """
        if is_document_url(client_id):
            await self.check_admitted(client_id)
            return await self.documents.fetch(client_id)
        client = await self.clients.find(client_id) if is_registered_id(client_id) else None
        if client is None:
            raise invalid_client()
        return client

    async def authenticate(self, shown: Credentials) -> Client:
        """Give a client that proved itself the way it registered for.

        Raises OAuthError invalid_client, unauthorized_client.
        """
        if is_document_url(shown.client_id):
            await self.check_admitted(shown.client_id)
            # Its redirect URI and challenge were checked when the person agreed; there is nothing to fetch.
            if shown.method != "none":
                raise invalid_client()
            return Client(shown.client_id, "", ())
        try:
            client = await self(shown.client_id)
        except OAuthError:
            raise invalid_client() from None
        # The secret is compared whatever the method is: how long it takes tells nothing of the method.
        is_proven = compare_digest(client.secret_hash or hash_of(""), hash_of(shown.secret))
        if shown.method != client.auth_method or not is_proven:
            raise invalid_client()
        return client

    async def check_admitted(self, client_id: str) -> None:
        """Raise OAuthError unauthorized_client for a client that the operator shut out."""
        addresses = addresses_of(client_id)
        if addresses and await self.blocked.has_any(addresses):
            raise client_blocked()
