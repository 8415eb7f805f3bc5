"""What a client asks for, and what a person gives it."""

from dataclasses import dataclass
from uuid import uuid4

from services.auth.oauth import events
from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.errors import OAuthError, invalid_request, invalid_scope
from services.auth.oauth.domain.grants import (
    CODE_LIFE,
    CODE_PREFIX,
    GRANT_LIFE,
    SECRET_BYTES,
    Code,
    Grant,
    Person,
    hash_of,
    secret_of,
)
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.domain.redirects import is_registered
from services.auth.oauth.domain.requests import Asked, asked_of, read_state
from services.auth.oauth.domain.resources import Resources
from services.auth.oauth.operations.find_client import FindClient
from services.auth.oauth.operations.sign_in import may_sign_in
from services.auth.oauth.ports import ApiKeys, Clock, Grants, RandomBytes
from services.auth.ports import Teams
from services.common.errors import AppError, Kind


class RefusedToClientError(Exception):
    """A refusal that the client is to hear. `uri` was checked: it is the client's own."""

    def __init__(self, uri: str) -> None:
        super().__init__("refused")
        self.uri = uri


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Check a request for authorization."""

    find_client: FindClient
    resources: Resources
    issuer: str

    async def __call__(self, parameters: Parameters) -> Asked:
        """Give what is asked.

        Raises OAuthError while it is not sure where an answer may go, RefusedToClientError after that.
        """
        client = await self.find_client(parameters.require("client_id"))
        redirect_uri = _redirect_uri(client, parameters)
        state = read_state(parameters)
        try:
            return asked_of(parameters, client.name, self.resources)
        except OAuthError as error:
            nobody = Asked(client.id, client.name, redirect_uri, state, "", "", (), named_scopes=False)
            raise RefusedToClientError(nobody.refusal(self.issuer, error)) from error


def _redirect_uri(client: Client, parameters: Parameters) -> str:
    uri = parameters.require("redirect_uri")
    if not is_registered(uri, client.redirect_uris):
        raise invalid_request("redirect_uri is not one of the client's.")
    return uri


@dataclass(frozen=True, slots=True)
class GiveConsent:
    """Write down what a person gave, and make the code that says so to the client."""

    find_client: FindClient
    grants: Grants
    keys: ApiKeys
    teams: Teams
    clock: Clock
    random_bytes: RandomBytes
    issuer: str

    async def __call__(self, asked: Asked, person: Person, ticked: frozenset[str]) -> str:
        """Give the URI that takes the code to the client.

        Raises OAuthError invalid_scope when nothing was ticked, access_denied when the person lost their
        right since they signed in, unauthorized_client when the client was blocked meanwhile.
        """
        await self.find_client.check_admitted(asked.client_id)
        scopes = ticked & frozenset(asked.scopes) & person.scopes
        if not scopes:
            raise invalid_scope()
        await self._check_still_there(person)
        now = self.clock()
        grant = Grant(
            id=str(uuid4()),
            team_id=person.team_id,
            client_id=asked.client_id,
            client_name=asked.client_name,
            principal=person.principal,
            key_id=person.key_id,
            scopes=scopes,
            resource=asked.resource,
            created_at=now,
            expires_at=now + GRANT_LIFE,
            session_id=person.session_id,
            person=person.shown_as,
        )
        secret = secret_of(CODE_PREFIX, self.random_bytes(SECRET_BYTES))
        code = Code(
            code_hash=hash_of(secret),
            redirect_uri=asked.redirect_uri,
            challenge=asked.challenge,
            expires_at=now + CODE_LIFE,
        )
        if not await self.grants.add(grant, code, events.consented(grant)):
            raise _gone()
        return asked.answer(self.issuer, code=secret)

    async def _check_still_there(self, person: Person) -> None:
        if person.key_id:
            holder = await self.keys.by_id(person.team_id, person.key_id)
            if holder is None or not may_sign_in(holder.caller):
                raise _gone()
        try:
            (await self.teams.get(person.team_id)).check()
        except AppError as error:
            if error.kind in {Kind.NOT_FOUND, Kind.UNAUTHENTICATED}:
                raise _gone() from error
            raise


def _gone() -> OAuthError:
    return OAuthError("access_denied", "This sign-in does not count any more.", status=403)
