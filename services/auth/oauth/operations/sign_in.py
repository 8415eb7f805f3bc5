"""Signs people in with an admin key, where there is no identity provider."""

from dataclasses import dataclass

from services.auth.domain.api_key import NO_RESTRICTIONS
from services.auth.domain.scopes import TEAM_ADMIN
from services.auth.oauth import events
from services.auth.oauth.domain.errors import OAuthError
from services.auth.oauth.domain.grants import Person
from services.auth.oauth.domain.scopes import GRANTABLE
from services.auth.oauth.operations.sessions import BeginSession
from services.auth.oauth.ports import ApiKeys, Events
from services.common.identity import Caller


def may_sign_in(caller: Caller) -> bool:
    """Whether a key speaks for its team: an admin key that nothing narrows."""
    return TEAM_ADMIN in caller.scopes and caller.restrictions == NO_RESTRICTIONS


@dataclass(frozen=True, slots=True)
class SignInWithKey:
    """Take an admin key for the person who holds it."""

    keys: ApiKeys
    events: Events
    begin: BeginSession

    async def __call__(self, secret: str) -> Person:
        """Give who holds the key. Raises OAuthError access_denied; AppError UNAVAILABLE DATABASE_DOWN."""
        holder = await self.keys.by_secret(secret)
        if holder is None or not may_sign_in(holder.caller):
            await self.events.tell(events.sign_in_refused("key", "CREDENTIAL_INVALID"))
            raise OAuthError("access_denied", "This is not an admin key.", status=403)
        caller = holder.caller
        person = Person(
            caller.team_id,
            caller.team_name,
            caller.principal,
            f"the holder of key {caller.key_id[:8]}",
            caller.scopes & GRANTABLE,
            caller.key_id,
        )
        return await self.begin(person, "key")
