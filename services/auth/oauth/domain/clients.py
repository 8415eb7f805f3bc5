"""Clients: programs that act for people. What they say about themselves is a claim, and shown as one."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from services.auth.oauth.domain.errors import invalid_metadata
from services.auth.oauth.domain.redirects import check_redirect_uri, host_of, is_plain_authority

MAX_REDIRECT_URIS: Final = 10
MAX_NAME_CHARS: Final = 64
MAX_DOCUMENT_URL_CHARS: Final = 512
AUTH_METHODS: Final = ("none", "client_secret_basic", "client_secret_post")
_GRANTS: Final = frozenset({"authorization_code", "refresh_token"})
_REGISTERED_ID: Final = re.compile(r"mc_[A-Za-z0-9_-]{22}")
_DOT_SEGMENT: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class Client:
    """A client as far as we need to know it. `secret_hash` is None for a public client."""

    id: str
    name: str
    redirect_uris: tuple[str, ...]
    auth_method: AuthMethod = "none"
    secret_hash: bytes | None = field(default=None, repr=False)

    @property
    def vouched_host(self) -> str:
        """The host that stands behind the client's name; empty when nobody does."""
        return urlsplit(self.id).hostname or "" if is_document_url(self.id) else ""


def is_registered_id(text: str) -> bool:
    """Whether text looks like the id of a client that registered here."""
    return _REGISTERED_ID.fullmatch(text) is not None


def is_document_url(text: str) -> bool:
    """Whether a client id is the URL of a client id metadata document.

    https, with a path, without dot segments, fragment, query or user name
    (draft-ietf-oauth-client-id-metadata-document §3).
    """
    if not text.startswith("https://") or len(text) > MAX_DOCUMENT_URL_CHARS:
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and not any(mark in text for mark in "?# ")
    has_path = len(parts.path) > 1 and not _DOT_SEGMENT.search(parts.path)
    return is_plain and is_plain_authority(parts.netloc) and has_path


def client_of_document(url: str, body: bytes) -> Client:
    """Read a client id metadata document. Raises OAuthError invalid_client_metadata, invalid_redirect_uri."""
    said = read_json_object(body)
    if said.get("client_id") != url:
        raise invalid_metadata("The client's document names another client.")
    if said.get("token_endpoint_auth_method", "none") != "none" or "client_secret" in said:
        raise invalid_metadata("The client's document asks for an authentication that is not offered.")
    return client_of_metadata(url, said)


def client_of_metadata(client_id: str, said: Mapping[str, Any]) -> Client:
    """Read client metadata (RFC 7591 §2). Scopes are ignored: a client may ask for others later.

    Raises OAuthError invalid_client_metadata, invalid_redirect_uri.
    """
    method = said.get("token_endpoint_auth_method") or "none"
    if method not in AUTH_METHODS:
        raise invalid_metadata("token_endpoint_auth_method is not offered.")
    _check_kind(said)
    uris = _redirect_uris(said)
    return Client(client_id, _name(said, uris[0]), uris, method)


def read_json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises OAuthError invalid_client_metadata."""
    try:
        said = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise invalid_metadata("The metadata is not JSON.") from None
    if not isinstance(said, dict):
        raise invalid_metadata("The metadata is not a JSON object.")
    return said


def _check_kind(said: Mapping[str, Any]) -> None:
    grants, responses = said.get("grant_types"), said.get("response_types")
    if grants is not None and not (isinstance(grants, list) and "authorization_code" in grants):
        raise invalid_metadata("grant_types must hold authorization_code.")
    if responses is not None and not (isinstance(responses, list) and "code" in responses):
        raise invalid_metadata("response_types must hold code.")


def _redirect_uris(said: Mapping[str, Any]) -> tuple[str, ...]:
    uris = said.get("redirect_uris")
    if not isinstance(uris, list) or not 1 <= len(uris) <= MAX_REDIRECT_URIS:
        raise invalid_metadata(f"redirect_uris must be 1 to {MAX_REDIRECT_URIS} URIs.")
    for uri in uris:
        if not isinstance(uri, str):
            raise invalid_metadata("redirect_uris must be text.")
        check_redirect_uri(uri)
    return tuple(uris)


def _name(said: Mapping[str, Any], redirect_uri: str) -> str:
    name = said.get("client_name")
    if isinstance(name, str):
        # Characters that nobody sees, or that turn the reading direction, are how a name lies.
        tidy = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME_CHARS]
        if tidy:
            return tidy
    return host_of(redirect_uri)
