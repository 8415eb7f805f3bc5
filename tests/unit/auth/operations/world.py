"""Auth's operations on fakes, with a clock that stands still until it is moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.auth.domain.api_key import EnvironmentKeys
from services.auth.domain.modes import AuthMode, McpAuthMode, Modes
from services.auth.domain.token import TokenRules
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.operations.check_token import CheckToken
from services.auth.operations.create_api_key import CreateApiKey, Made, MakeKey, Wanted
from services.auth.operations.issue_passport import IssuePassport, Passport, Presented
from services.auth.operations.refuse_revoked import RefuseRevoked
from services.auth.ports import RandomBytes, VerificationKey
from services.common.errors import AppError
from tests.fakes.auth_store import MemoryKeys, MemoryRevokedRights, MemoryTeams
from tests.fakes.tokens import AUDIENCE, ISSUER, NOW, SECRET, b64

ENVIRONMENT_KEY = "k3Vt-9sQ.xL7m.Wd2RzPf8Yb5"
"""Has the two dots of a JWT on purpose."""
LEEWAY_S = 30.0
_SIGNER = jwt.get_algorithm_by_name("HS256")


@dataclass(slots=True)
class Clock:
    now: datetime = field(default_factory=lambda: datetime.fromtimestamp(NOW, UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True, slots=True)
class SecretKey:
    id: str
    secret: str

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        return _SIGNER.verify(signed, self.secret.encode(), signature)


@dataclass(slots=True)
class FixedIssuer:
    """Issuer whose HS256 secrets are these; `failure` is raised instead."""

    keys: Sequence[VerificationKey] = (SecretKey("secret:current", SECRET),)
    failure: AppError | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        self.asked.append((algorithm, key_id))
        if self.failure:
            raise self.failure
        return self.keys if algorithm == "HS256" else ()


@dataclass(slots=True)
class OnePassportKey:
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    signed: list[Mapping[str, Any]] = field(default_factory=list)

    def sign(self, claims: Mapping[str, Any]) -> str:
        self.signed.append(claims)
        return f"{b64({'typ': 'passport+jwt', 'alg': 'EdDSA'})}.{b64(claims)}.{b64(b'signature')}"

    def public_jwks(self) -> str:
        return '{"keys": []}'

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        del key_id
        return self.private.public_key()


def fixed_bytes(count: int) -> bytes:
    return bytes(range(count))


class World:
    """Everything wired together as in one installation."""

    def __init__(
        self,
        mode: AuthMode = AuthMode.HYBRID,
        mcp: McpAuthMode = McpAuthMode.INHERIT,
        random_bytes: RandomBytes = fixed_bytes,
    ) -> None:
        self.clock = Clock()
        self.teams = MemoryTeams()
        self.keys = MemoryKeys(self.teams)
        self.rights = MemoryRevokedRights()
        self.issuer = FixedIssuer()
        self.passport_keys = OnePassportKey()
        modes = Modes(mode, mcp)
        check_api_key = CheckApiKey(EnvironmentKeys((ENVIRONMENT_KEY,)), self.keys, self.teams, self.clock)
        refuse_revoked = RefuseRevoked(self.rights, LEEWAY_S)
        rules = TokenRules(ISSUER, AUDIENCE)
        check_token = CheckToken(self.issuer, rules, self.teams, refuse_revoked, self.clock)
        self._issue = IssuePassport(
            modes,
            check_api_key,
            check_token if modes.any_takes_tokens else None,
            self.passport_keys,
            self.clock,
        )
        self.make = MakeKey(self.clock, random_bytes)
        self._create = CreateApiKey(self.teams, self.make)

    async def create(self, **wanted: Any) -> Made:
        return await self._create(Wanted(**{"label": "test", **wanted}))

    async def issue(
        self,
        *,
        bearer: str | None = None,
        api_key: str = "",
        audience: str = "mail_core",
        peer: str = "edge_rest",
    ) -> Passport:
        presented = Presented("api_key", api_key) if bearer is None else Presented("bearer", bearer)
        return await self._issue(presented, audience, peer)

    async def refusal(self, **presented: str) -> str:
        try:
            await self.issue(**presented)
        except AppError as error:
            return error.reason
        return "ACCEPTED"
