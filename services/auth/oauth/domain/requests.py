"""A request for authorization that was found to be sound, and how it is written down between two pages."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode

from services.auth.oauth.domain.errors import OAuthError, invalid_request
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.domain.pkce import is_challenge
from services.auth.oauth.domain.resources import Resources
from services.auth.oauth.domain.scopes import GRANTABLE, in_order, requested_scopes

MAX_STATE_CHARS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks a person for."""

    client_id: str
    client_name: str
    redirect_uri: str
    state: str
    challenge: str
    resource: str
    scopes: tuple[str, ...]
    named_scopes: bool
    prompt: str = ""

    @property
    def is_own(self) -> bool:
        """Whether no client asks: the person came to see what they allowed."""
        return not self.client_id

    def to_json(self) -> dict[str, Any]:
        """Write it down."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Asked":
        """Read what `to_json` wrote."""
        return cls(**{**said, "scopes": tuple(said["scopes"])})

    def answer(self, issuer: str, **parameters: str) -> str:
        """Give the URI that takes an answer to the client, with the issuer's name in it (RFC 9207)."""
        named = {**parameters, **({"state": self.state} if self.state else {}), "iss": issuer}
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode(named)}"

    def refusal(self, issuer: str, error: OAuthError) -> str:
        """Give the URI that takes a refusal to the client."""
        return self.answer(issuer, error=error.code, error_description=error.description)


def read_state(parameters: Parameters) -> str:
    """Give the client's state. Raises OAuthError invalid_request."""
    state = parameters.get("state")
    if len(state) > MAX_STATE_CHARS:
        raise invalid_request("state is too long.")
    return state


def check_asked(parameters: Parameters, resources: Resources) -> tuple[str, str, frozenset[str]]:
    """Check what is told to the client when it is wrong. Gives challenge, resource and scopes.

    Raises OAuthError unsupported_response_type, invalid_request, invalid_target, invalid_scope.
    """
    if parameters.require("response_type") != "code":
        raise OAuthError("unsupported_response_type", "Only the response type code is offered.")
    if parameters.get("response_mode") not in {"", "query"}:
        raise invalid_request("Only the response mode query is offered.")
    if parameters.get("request") or parameters.get("request_uri"):
        raise OAuthError("request_not_supported", "Request objects are not offered.")
    challenge = parameters.require("code_challenge")
    # An absent method means `plain` (RFC 7636 §4.3), which is not offered.
    if parameters.get("code_challenge_method") != "S256" or not is_challenge(challenge):
        raise invalid_request("code_challenge must be of the method S256.")
    scopes = requested_scopes(parameters.get("scope"), GRANTABLE)
    return challenge, resources.choose(parameters.get("resource")), scopes


def asked_of(parameters: Parameters, client_name: str, resources: Resources) -> Asked:
    """Put a checked request together. Raises as `check_asked`."""
    challenge, resource, scopes = check_asked(parameters, resources)
    return Asked(
        client_id=parameters.get("client_id"),
        client_name=client_name,
        redirect_uri=parameters.get("redirect_uri"),
        state=read_state(parameters),
        challenge=challenge,
        resource=resource,
        scopes=in_order(scopes),
        named_scopes=bool(parameters.get("scope")),
        prompt=parameters.get("prompt"),
    )
