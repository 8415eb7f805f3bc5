"""What the authorization server keeps, in memory, with a clock that stands still until it is moved."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.auth.domain.paging import Page
from services.auth.oauth.domain.blocking import Blocked
from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.grants import Code, Grant, HeldClient, RefreshToken, Session
from services.auth.oauth.events import replayed
from services.auth.oauth.ports import KeyHolder, Redemption, Rotation
from services.common.audit import AuditEvent
from services.common.errors import AppError


@dataclass(slots=True)
class Ledger:
    """The audit log: what was recorded with a change, and what was only told. `failure` is raised instead."""

    recorded: list[AuditEvent] = field(default_factory=list)
    told: list[AuditEvent] = field(default_factory=list)
    failure: AppError | None = None

    def write(self, event: AuditEvent) -> None:
        if self.failure:
            raise self.failure
        self.recorded.append(event)

    async def record(self, event: AuditEvent) -> None:
        self.write(event)

    async def tell(self, event: AuditEvent) -> None:
        self.told.append(event)


@dataclass(slots=True)
class _Kept:
    secret: Code | RefreshToken
    grant_id: str
    used: bool = False


@dataclass(slots=True)
class MemoryGrants:
    """Grants by id, codes and refresh tokens by hash. A lock makes each method one transaction."""

    ledger: Ledger
    sessions: "MemorySessions"
    grants: dict[str, Grant] = field(default_factory=dict)
    codes: dict[bytes, _Kept] = field(default_factory=dict)
    refresh: dict[bytes, _Kept] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    ended_tokens: set[tuple[str, str]] = field(default_factory=set)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, grant: Grant, code: Code, event: AuditEvent) -> bool:
        if grant.session_id and not await self.sessions.stands(
            grant.team_id, grant.session_id, grant.created_at
        ):
            return False
        self.ledger.write(event)
        self.grants[grant.id] = grant
        self.codes[code.code_hash] = _Kept(code, grant.id)
        return True

    async def redeem(self, code_hash: bytes, redemption: Redemption) -> Grant | None:
        async with self._lock:
            kept = self.codes.get(code_hash)
            if kept is None:
                return None
            if kept.used:
                return self._replay(kept, redemption.at)
            grant, code = self._standing(kept.grant_id, redemption.at), kept.secret
            assert isinstance(code, Code)
            is_bound = (
                grant is not None
                and code.expires_at > redemption.at
                and grant.client_id == redemption.client_id
                and code.redirect_uri == redemption.redirect_uri
                and redemption.resource in {"", grant.resource}
                and redemption.proves(code.challenge)
            )
            return await self._give(kept, grant, redemption) if grant and is_bound else None

    async def rotate(self, token_hash: bytes, rotation: Rotation) -> Grant | None:
        async with self._lock:
            kept = self.refresh.get(token_hash)
            if kept is None:
                return None
            if kept.used:
                return self._replay(kept, rotation.at)
            grant = self._standing(kept.grant_id, rotation.at)
            is_bound = (
                grant is not None
                and grant.client_id == rotation.client_id
                and kept.secret.expires_at > rotation.at
            )
            return await self._give(kept, grant, rotation) if grant and is_bound else None

    async def find(self, team_id: str, grant_id: str, at: datetime) -> Grant | None:
        grant = self._standing(grant_id, at)
        return grant if grant is not None and grant.team_id == team_id else None

    async def find_by_code(self, code_hash: bytes, at: datetime) -> Grant | None:
        kept = self.codes.get(code_hash)
        return None if kept is None or kept.used else self._standing(kept.grant_id, at)

    async def find_by_refresh(
        self, token_hash: bytes, at: datetime, *, also_used: bool = False
    ) -> Grant | None:
        kept = self.refresh.get(token_hash)
        if kept is None or kept.secret.expires_at <= at or (kept.used and not also_used):
            return None
        return self._standing(kept.grant_id, at)

    async def note_use(self, grant: Grant, at: datetime) -> None:
        if self.ledger.failure:
            raise self.ledger.failure
        known = self.grants[grant.id]
        if known.needs_use_noted(at):
            self.grants[grant.id] = replace(known, last_used_at=at)

    async def revoke(self, team_id: str, grant_id: str, at: datetime, event: AuditEvent) -> Grant | None:
        grant = self.grants.get(grant_id)
        if grant is None or grant.team_id != team_id:
            return None
        if grant.counts(at):
            self.ledger.write(event)
            self._end(grant, at)
        return grant

    async def revoke_client(
        self, team_id: str, client_id: str, at: datetime, event: Callable[[int], AuditEvent]
    ) -> int | None:
        own = [g for g in self.grants.values() if (g.team_id, g.client_id) == (team_id, client_id)]
        standing = [grant for grant in own if grant.counts(at)]
        if not own:
            return None
        if standing:
            self.ledger.write(event(len(standing)))
        for grant in standing:
            self._end(grant, at)
        return len(standing)

    async def list(self, team_id: str, page: Page, principal: str = "") -> Sequence[Grant]:
        own = [g for g in self.grants.values() if g.team_id == team_id and principal in {"", g.principal}]
        ordered = sorted(own, key=lambda grant: (grant.created_at, grant.id), reverse=True)
        after = page.after
        behind = [g for g in ordered if not after or (g.created_at, g.id) < (after.created_at, after.id)]
        return behind[: page.size + 1]

    async def clients(self, team_id: str, at: datetime, limit: int) -> Sequence[HeldClient]:
        own = [grant for grant in self.grants.values() if grant.team_id == team_id and grant.counts(at)]
        held = [
            HeldClient(
                id=client_id,
                name=next(grant.client_name for grant in own if grant.client_id == client_id),
                grant_count=sum(grant.client_id == client_id for grant in own),
                since=min(grant.created_at for grant in own if grant.client_id == client_id),
            )
            for client_id in dict.fromkeys(grant.client_id for grant in own)
        ]
        return sorted(held, key=lambda client: (client.name, client.id))[:limit]

    async def document_clients(self, team_id: str, at: datetime) -> Sequence[str]:
        held = await self.clients(team_id, at, len(self.grants))
        return [client.id for client in held if client.id.startswith("https://")]

    async def revoke_token(
        self, team_id: str, token_id: str, expires_at: datetime, event: AuditEvent
    ) -> None:
        del expires_at
        self.ledger.write(event)
        self.ended_tokens.add((team_id, token_id))

    async def is_token_revoked(self, team_id: str, token_id: str) -> bool:
        return (team_id, token_id) in self.ended_tokens

    def _standing(self, grant_id: str, at: datetime) -> Grant | None:
        grant = self.grants.get(grant_id)
        return grant if grant is not None and grant.counts(at) else None

    async def _give(self, kept: _Kept, grant: Grant, given: Redemption | Rotation) -> Grant:
        # Others get a turn here, as they would while a database works.
        await asyncio.sleep(0)
        self.ledger.write(given.event(grant))
        kept.used = True
        self.refresh[given.refresh.token_hash] = _Kept(given.refresh, grant.id)
        return grant

    def _replay(self, kept: _Kept, at: datetime) -> None:
        grant = self._standing(kept.grant_id, at)
        if grant is not None:
            self.ledger.write(replayed(grant.team_id, grant.id))
            self._end(grant, at)

    def _end(self, grant: Grant, at: datetime) -> None:
        self.grants[grant.id] = replace(grant, revoked_at=at)
        self.revoked.append(grant.root)


@dataclass(slots=True)
class MemoryBlockedClients:
    """What is shut out, by address."""

    ledger: Ledger
    blocked: dict[str, Blocked] = field(default_factory=dict)

    async def has_any(self, addresses: Collection[str]) -> bool:
        return not self.blocked.keys().isdisjoint(addresses)

    async def list(self) -> Sequence[Blocked]:
        return [self.blocked[address] for address in sorted(self.blocked)]

    async def add(self, blocked: Blocked, event: AuditEvent) -> None:
        if blocked.address not in self.blocked:
            self.ledger.write(event)
            self.blocked[blocked.address] = blocked

    async def remove(self, address: str, event: AuditEvent) -> bool:
        if self.blocked.pop(address, None) is None:
            return False
        self.ledger.write(event)
        return True


@dataclass(slots=True)
class MemorySessions:
    """Sign-ins by id; those that were ended."""

    ledger: Ledger
    sessions: dict[str, Session] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    async def add(self, session: Session, event: AuditEvent) -> None:
        self.ledger.write(event)
        self.sessions[session.id] = session

    async def stands(self, team_id: str, session_id: str, at: datetime) -> bool:
        session = self.sessions.get(session_id)
        if session is None or session.team_id != team_id:
            return False
        return session_id not in self.ended and session.expires_at > at

    async def end(
        self, team_id: str, session_id: str, at: datetime, event: Callable[[Session, int], AuditEvent]
    ) -> int:
        if not await self.stands(team_id, session_id, at):
            return 0
        self.ledger.write(event(self.sessions[session_id], 0))
        self.ended.add(session_id)
        return 0


@dataclass(slots=True)
class MemoryClients:
    """Registered clients by id. `room` is how many more there may be."""

    ledger: Ledger
    clients: dict[str, Client] = field(default_factory=dict)
    room: int = 100

    async def find(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    async def add(self, client: Client, at: datetime, event: AuditEvent) -> bool:
        del at
        if len(self.clients) >= self.room:
            return False
        self.ledger.write(event)
        self.clients[client.id] = client
        return True

    async def remove(self, client_id: str, event: AuditEvent) -> bool:
        if self.clients.pop(client_id, None) is None:
            return False
        self.ledger.write(event)
        return True


@dataclass(slots=True)
class MemoryApiKeys:
    """Keys by secret; take one out and it is revoked."""

    holders: dict[str, KeyHolder] = field(default_factory=dict)

    async def by_secret(self, secret: str) -> KeyHolder | None:
        return self.holders.get(secret)

    async def by_id(self, team_id: str, key_id: str) -> KeyHolder | None:
        found = (h for h in self.holders.values() if (h.caller.team_id, h.caller.key_id) == (team_id, key_id))
        return next(found, None)


class OpenTokenKeys:
    """Signs nothing: claims in base64url. Whatever was not written here is no token."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def sign(self, claims: Mapping[str, Any]) -> str:
        text = urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        self._written.add(text)
        return text

    def verify(self, token: str) -> dict[str, Any] | None:
        if token not in self._written:
            return None
        return json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    def public_jwks(self) -> dict[str, Any]:
        return {"keys": []}
