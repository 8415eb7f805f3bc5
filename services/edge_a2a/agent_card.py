"""The agent card: who this agent is, what it can do, and how to reach it (A2A 1.0 §4.4)."""

import hashlib
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final
from urllib.parse import urlsplit

import orjson
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    APIKeySecurityScheme,
    AuthorizationCodeOAuthFlow,
    ClientCredentialsOAuthFlow,
    HTTPAuthSecurityScheme,
    OAuth2SecurityScheme,
    OAuthFlows,
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
OAUTH: Final = "oauth"
OAUTH_CLIENT: Final = "oauthClient"


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


def agent_card(public_url: str, grpc_address: str, oauth_issuer: str = "") -> AgentCard:
    """Make the card. `grpc_address` is `host:port` without a scheme (A2A 1.0.1).

    `oauth_issuer` is our own authorization server; empty when there is none.
    """
    base = public_url.rstrip("/")
    schemes = {API_KEY: _api_key(), BEARER: _bearer(), **(_oauth(oauth_issuer, base) if oauth_issuer else {})}
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
        security_schemes=schemes,
        # Any one of them will do.
        security_requirements=[_requirement(name) for name in schemes],
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
        description=f"{action.description} Scope: {' or '.join(sorted(action.policy.any_scope))}.",
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


def _oauth(issuer: str, resource: str) -> dict[str, SecurityScheme]:
    """Say how to get an access token. A scheme has room for one flow, so there are two of them.

    No member of a scheme is for the resource (RFC 8707), so that its description names it.
    """
    scopes = {name: action.name for action in ACTIONS.values() for name in action.policy.any_scope}
    token_url = f"{issuer}/oauth/token"
    for_people = AuthorizationCodeOAuthFlow(
        authorization_url=f"{issuer}/oauth/authorize",
        token_url=token_url,
        refresh_url=token_url,
        scopes=scopes,
        pkce_required=True,
    )
    for_keys = ClientCredentialsOAuthFlow(token_url=token_url, scopes=scopes)
    return {
        OAUTH: _oauth_scheme(
            issuer,
            OAuthFlows(authorization_code=for_people),
            f"A token that a person agreed to. Ask for it with resource={resource}.",
        ),
        OAUTH_CLIENT: _oauth_scheme(
            issuer,
            OAuthFlows(client_credentials=for_keys),
            "A token for an API key: the key's id is the client id, the key itself the client secret. "
            f"Ask for it with resource={resource}.",
        ),
    }


def _oauth_scheme(issuer: str, flows: OAuthFlows, description: str) -> SecurityScheme:
    parts = urlsplit(issuer)
    # RFC 8414 §3.1: the well-known part comes before the path of the issuer.
    metadata = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    scheme = OAuth2SecurityScheme(flows=flows, oauth2_metadata_url=metadata, description=description)
    return SecurityScheme(oauth2_security_scheme=scheme)


def _requirement(name: str) -> SecurityRequirement:
    return SecurityRequirement(schemes={name: StringList()})
