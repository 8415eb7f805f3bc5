"""Sign-ins as things that are kept: begun in one transaction with their audit event, and ended by hand."""

from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

from services.auth.oauth import events
from services.auth.oauth.domain.grants import SESSION_LIFE, Person, Session
from services.auth.oauth.ports import Clock, Sessions


@dataclass(frozen=True, slots=True)
class BeginSession:
    """Keep that somebody signed in."""

    sessions: Sessions
    clock: Clock

    async def __call__(self, person: Person, method: Literal["key", "oidc"]) -> Person:
        """Give the person with the name of their sign-in. Raises AppError UNAVAILABLE DATABASE_DOWN."""
        now = self.clock()
        session = Session(
            id=str(uuid4()),
            team_id=person.team_id,
            principal=person.principal,
            key_id=person.key_id,
            method=method,
            created_at=now,
            expires_at=now + SESSION_LIFE,
        )
        await self.sessions.add(session, events.signed_in(session))
        return replace(person, session_id=session.id)


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Look whether a sign-in that a browser remembers still counts."""

    sessions: Sessions
    clock: Clock

    async def __call__(self, person: Person) -> bool:
        """Whether it does."""
        return bool(person.session_id) and await self.sessions.stands(
            person.team_id, person.session_id, self.clock()
        )


@dataclass(frozen=True, slots=True)
class EndSession:
    """Sign somebody out: what they allowed in this sign-in ends, everywhere, at once."""

    sessions: Sessions
    clock: Clock

    async def __call__(self, person: Person) -> int:
        """Give how many grants ended. Safe to repeat."""
        if not person.session_id:
            return 0
        return await self.sessions.end(person.team_id, person.session_id, self.clock(), events.signed_out)
