"""The agent card: who this agent is, what it can do, and how to reach it (A2A 1.0 §4.4)."""

import hashlib
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

import orjson
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    APIKeySecurityScheme,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from google.protobuf.json_format import MessageToDict

from services.common.edge import API_KEY_HEADER
from services.edge_a2a.actions import ACTIONS, Action
from services.edge_a2a.tasks import JSON, TEXT

VERSION: Final = "0.1.0"
PROTOCOL_VERSION: Final = "1.0"
RPC_PATH: Final = "/a2a/rpc"
REST_PATH: Final = "/a2a/v1"
MAX_AGE_S: Final = 300
API_KEY: Final = "apiKey"
BEARER: Final = "bearer"


@dataclass(frozen=True, slots=True)
class ServedCard:
    """The card as bytes, with the headers that let clients keep it."""

    body: bytes
    etag: str
    last_modified: str

    @classmethod
    def of(cls, card: AgentCard) -> "ServedCard":
        """Write the card once, for all requests."""
        body = orjson.dumps(MessageToDict(card), option=orjson.OPT_SORT_KEYS)
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', formatdate(usegmt=True))

    def headers(self) -> dict[str, str]:
        """Response headers, for 200 and 304 alike."""
        return {
            "ETag": self.etag,
            "Last-Modified": self.last_modified,
            "Cache-Control": f"public, max-age={MAX_AGE_S}",
        }

    def is_known_to(self, if_none_match: str) -> bool:
        """Whether a client holds this card already (RFC 9110 §13.1.2, weak comparison)."""
        tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return bool(tags & {self.etag, "*"})


def agent_card(public_url: str, grpc_address: str) -> AgentCard:
    """Make the card. `grpc_address` is `host:port` without a scheme (A2A 1.0.1)."""
    base = public_url.rstrip("/")
    return AgentCard(
        name="Mailwarden",
        description=(
            "Acts on a person's Gmail mailbox and calendar, safely: finds free time, scans and sorts mail, "
            "finds mailing lists and ends subscriptions once and properly. Each message names one action in "
            "a data part (application/json); prose is not interpreted."
        ),
        version=VERSION,
        supported_interfaces=[
            _interface(base + RPC_PATH, "JSONRPC"),
            _interface(grpc_address, "GRPC"),
            _interface(base + REST_PATH, "HTTP+JSON"),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False, extended_agent_card=False),
        security_schemes={API_KEY: _api_key(), BEARER: _bearer()},
        # Either of the two will do.
        security_requirements=[_requirement(API_KEY), _requirement(BEARER)],
        default_input_modes=[JSON, TEXT],
        default_output_modes=[JSON, TEXT],
        skills=[_skill(action) for action in ACTIONS.values()],
    )


def _interface(url: str, binding: str) -> AgentInterface:
    return AgentInterface(url=url, protocol_binding=binding, protocol_version=PROTOCOL_VERSION)


def _skill(action: Action) -> AgentSkill:
    return AgentSkill(
        id=action.id,
        name=action.name,
        description=f"{action.description} Scope: {action.scope}.",
        tags=action.tags,
        examples=action.examples,
    )


def _api_key() -> SecurityScheme:
    scheme = APIKeySecurityScheme(
        location="header", name=API_KEY_HEADER, description="An API key of this installation."
    )
    return SecurityScheme(api_key_security_scheme=scheme)


def _bearer() -> SecurityScheme:
    scheme = HTTPAuthSecurityScheme(
        scheme="Bearer", description="An API key, or a JWT where the operator accepts them."
    )
    return SecurityScheme(http_auth_security_scheme=scheme)


def _requirement(name: str) -> SecurityRequirement:
    return SecurityRequirement(schemes={name: StringList()})
