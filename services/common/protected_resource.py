"""An edge as OAuth knows it: what it publishes (RFC 9728), and how it asks for a token (RFC 6750 §3).

Which scopes there are to ask for is read from the policies of the RPCs that the edge calls.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from services.common.cross_origin import CrossOrigin
from services.common.errors import AppError, Kind
from services.common.policy import Policy
from services.common.web_address import canonical

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
DOCUMENTATION: Final = "https://mailwarden.dev/docs/oauth"
NEVER_GRANTED: Final = frozenset({"team:admin"})
"""No authorization server gives these to a client: asking for them would be in vain."""
_PAGES: Final = CrossOrigin(
    # Clients inside a browser read it from a page of their own. It holds nothing that is not public.
    methods=("GET", "HEAD", "OPTIONS"),
    accepts=("Authorization", "Content-Type", "MCP-Protocol-Version"),
    exposes=("X-Request-Id",),
)
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "public, max-age=300",
    **_PAGES.headers(None),
    **_PAGES.preflight(None),
}
_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
"""RFC 6749 §3.3."""
_REALM: Final = "mailwarden"
_MISSING: Final = "CREDENTIAL_MISSING"
_SCOPE_MISSING: Final = "SCOPE_MISSING"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """One edge. Without authorization servers it publishes nothing, and names no metadata.

    `first_scopes` are what a client is told to ask for before it has said what it wants to do: the scopes of
    calls that change nothing.
    """

    name: str = ""
    uri: str = ""
    authorization_servers: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    first_scopes: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, name: str, uri: str, authorization_servers: Iterable[str], policies: Iterable[Policy]
    ) -> "ProtectedResource":
        """Describe an edge that calls the RPCs of these policies."""
        policies = list(policies)
        return cls(
            name,
            canonical(uri),
            tuple(authorization_servers),
            _needed(policies),
            _needed(policy for policy in policies if not policy.mutates),
        )

    @property
    def is_published(self) -> bool:
        """Whether there is a server from which clients get tokens for this edge."""
        return bool(self.authorization_servers)

    @property
    def metadata_paths(self) -> frozenset[str]:
        """Where the metadata is served: by the path of the resource (RFC 9728 §3.1), and at the root."""
        if not self.is_published:
            return frozenset()
        return frozenset({WELL_KNOWN, WELL_KNOWN + urlsplit(self.uri).path})

    @property
    def metadata_url(self) -> str:
        """Where clients find the metadata."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"

    def document(self) -> bytes:
        """Write the metadata (RFC 9728 §2)."""
        said: dict[str, Any] = {
            "resource": self.uri,
            "authorization_servers": list(self.authorization_servers),
            "scopes_supported": sorted(self.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
            "resource_documentation": DOCUMENTATION,
        }
        return orjson.dumps(said)

    def challenge(
        self, error: AppError, *, held: Collection[str] = (), wanted: Collection[str] | None = None
    ) -> str:
        """Write the WWW-Authenticate value that goes with an error; empty when there is none.

        `held` are the caller's scopes: clients ask for what a challenge names and nothing else, and would
        lose them. `wanted` is what the request needs, any one of it, where that is known already.
        """
        if error.kind is Kind.UNAUTHENTICATED:
            # A request without a credential gets no error code (RFC 6750 §3.1).
            code = "" if error.reason == _MISSING else "invalid_token"
            return self._header(code, self._first(wanted))
        needed = least_scope(error.metadata.get("scope", "").split()) if _is_scope_missing(error) else ""
        if not needed:
            return ""
        return self._header("insufficient_scope", {needed, *held})

    def _first(self, wanted: Collection[str] | None) -> Collection[str]:
        if not self.is_published:
            return ()
        return self.first_scopes if wanted is None else {least_scope(wanted)}

    def _header(self, code: str, scopes: Collection[str]) -> str:
        named = sorted(name for name in set(scopes) - NEVER_GRANTED if _SCOPE_TOKEN.fullmatch(name))
        parts = {
            "realm": _REALM,
            "error": code,
            "scope": " ".join(named),
            "resource_metadata": self.metadata_url if self.is_published else "",
        }
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


def least_scope(names: Iterable[str]) -> str:
    """Choose what to ask for where any one of some scopes will do: one that reads, if there is one.

    Empty when none of them can be had.
    """
    possible = sorted(set(names) - NEVER_GRANTED, key=lambda name: (not name.endswith(":read"), name))
    return possible[0] if possible else ""


def _needed(policies: Iterable[Policy]) -> frozenset[str]:
    return frozenset(name for policy in policies if (name := least_scope(policy.any_scope)))


def _is_scope_missing(error: AppError) -> bool:
    return error.kind is Kind.PERMISSION_DENIED and error.reason == _SCOPE_MISSING
