"""What an edge does with a credential: hand it to auth once, keep the passport for its life.

Credentials are remembered by hash only. Concurrent first uses of one credential ask auth once; a
refused one is remembered for a moment, so that hammering with it does not reach auth.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.context import bounded_timeout_s, current_call, entered
from services.common.errors import AppError, Kind, deadline_exceeded, unauthenticated
from services.common.grpc_client import Channel
from services.common.identity import PASSPORT_LIFE_S, Caller, Limits, Restrictions
from services.common.revocations import RevocationFollower, RevokedSubjects, revocations_of

MAX_CREDENTIAL_CHARS: Final = 8_192
_MAX_CACHED: Final = 10_000
_SPARE_S: Final = 5.0
"""A passport is renewed this long before it ends, so that it does not end on its way."""
_REFUSAL_LIFE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client sent to say who they are."""

    kind: Literal["api_key", "bearer"]
    secret: str = field(repr=False)

    def digest(self) -> bytes:
        """The credential as a cache key."""
        return hashlib.sha256(f"{self.kind}:{self.secret}".encode()).digest()


@dataclass(frozen=True, slots=True)
class HeldPassport:
    """A passport and who it names. `expires_at` is unix time in seconds."""

    token: str = field(repr=False)
    expires_at: float
    caller: Caller


class PassportBroker:
    """Turns credentials into passports. Those whose roots are revoked are dropped at once.

    `resource` is the canonical URI of this edge: access tokens made for another are refused, and without one
    every access token is.
    """

    def __init__(
        self, channel: Channel, *, resource: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        """Ask auth by `channel`. `clock` gives unix time in seconds."""
        self._resource = resource
        self._auth = auth_pb2_grpc.AuthServiceStub(channel)
        self._revoked = RevokedSubjects()
        self._revoked.on_change(self._drop_void)
        self._follower = RevocationFollower(revocations_of(channel), self._revoked)
        self._clock = clock
        self._held: OrderedDict[tuple[bytes, str], HeldPassport] = OrderedDict()
        self._refused: OrderedDict[tuple[bytes, str], tuple[float, AppError]] = OrderedDict()
        self._asking: dict[tuple[bytes, str], asyncio.Future[HeldPassport]] = {}

    def has_accepted(self, credential: Credential, audience: str) -> bool:
        """Whether auth took this credential before, as far as this process still knows."""
        return (credential.digest(), audience) in self._held

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Hear of revocations while the block runs. Without it a passport is kept for its whole life."""
        async with self._follower.following():
            yield

    def watched(self, roots: frozenset[str], lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `lost` when one of these roots is revoked while the block runs."""
        return self._revoked.watched(roots, lost)

    async def passport(self, credential: Credential | None, audience: str) -> HeldPassport:
        """Give a passport for one backend. Raises AppError UNAUTHENTICATED, or UNAVAILABLE AUTH_DOWN."""
        if credential is None:
            raise unauthenticated("CREDENTIAL_MISSING", "Send an API key or a bearer token.")
        key = (credential.digest(), audience)
        held = self._held.get(key)
        if held is not None and held.expires_at - _SPARE_S > self._clock():
            return held
        self._raise_when_refused(key)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(self._ask(credential, audience, key))
            asking.add_done_callback(_look_at)
        try:
            async with asyncio.timeout(bounded_timeout_s(None)):
                return await asyncio.shield(asking)
        except TimeoutError:
            raise deadline_exceeded() from None

    def forget(self, credential: Credential, audience: str, token: str) -> None:
        """Let go of a passport that a backend does not believe: its signing key may have been dropped."""
        key = (credential.digest(), audience)
        held = self._held.get(key)
        if held is not None and held.token == token:
            del self._held[key]

    async def _ask(self, credential: Credential, audience: str, key: tuple[bytes, str]) -> HeldPassport:
        try:
            request = auth_pb2.IssuePassportRequest(audience=audience, resource=self._resource)
            setattr(request, credential.kind, credential.secret)
            with _without_deadline():
                response = await self._auth.IssuePassport(request)
            held = _held(response.passport)
            # A revocation may have overtaken the answer. The backend judges such a passport; we forget it.
            if not self._is_void(held):
                _remember(self._held, key, held)
        except AppError as error:
            if error.kind is Kind.UNAUTHENTICATED:
                # A copy: the error itself would keep every frame that it passed through alive.
                _remember(self._refused, key, (self._clock() + _REFUSAL_LIFE_S, _copy(error)))
            raise
        else:
            return held
        finally:
            del self._asking[key]

    def _drop_void(self) -> None:
        for key in [key for key, held in self._held.items() if self._is_void(held)]:
            del self._held[key]

    def _is_void(self, held: HeldPassport) -> bool:
        # By auth's clock, as revocations are. A passport that lives shorter is taken for older: no harm.
        return self._revoked.voids(held.caller.roots, held.expires_at - PASSPORT_LIFE_S)

    def _raise_when_refused(self, key: tuple[bytes, str]) -> None:
        refused = self._refused.get(key)
        if refused is not None and refused[0] > self._clock():
            raise _copy(refused[1])


def _look_at(asking: "asyncio.Future[HeldPassport]") -> None:
    """Take note of a failure, which asyncio would report when every waiter has left."""
    if not asking.cancelled():
        asking.exception()


@contextlib.contextmanager
def _without_deadline() -> Iterator[None]:
    """Ask on behalf of all who wait: the deadline of the one who came first is not theirs."""
    call = current_call()
    if call is None:
        yield
        return
    with entered(replace(call, deadline=None)):
        yield


def _copy(error: AppError) -> AppError:
    return AppError(error.kind, error.reason, error.message, metadata=error.metadata)


def _remember(cache: OrderedDict, key: tuple[bytes, str], value: object) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _MAX_CACHED:
        cache.popitem(last=False)


def _held(passport: auth_pb2.Passport) -> HeldPassport:
    expires_at = passport.expire_time.ToMicroseconds() / 1e6
    return HeldPassport(passport.token, expires_at, caller_from_proto(passport.caller))


def caller_from_proto(caller: auth_pb2.Caller) -> Caller:
    """Read a caller from its proto form."""
    kind = auth_pb2.CredentialKind.Name(caller.credential_kind).removeprefix("CREDENTIAL_KIND_").lower()
    narrowed = caller.restrictions
    return Caller(
        team_id=caller.team.id,
        team_name=caller.team.name,
        principal=caller.principal,
        key_id=caller.key_id,
        credential_kind=kind,
        scopes=frozenset(caller.scopes),
        restrictions=Restrictions(narrowed.read_only, narrowed.label_prefix, frozenset(narrowed.mailbox_ids)),
        roots=frozenset(caller.roots),
        limits=Limits(*(getattr(caller.team.limits, name) for name in Limits.__slots__)),
    )
