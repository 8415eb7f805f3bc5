"""Google's requests, built and decoded by Google's own client from the discovery documents it ships.

The client never sends anything here: `google_transport` does. Resource objects are made once,
because the client rebuilds them at every attribute access (about 1 ms of CPU each).
"""

import urllib.parse
import warnings
from dataclasses import dataclass, replace
from typing import Any, Final

with warnings.catch_warnings():
    # google-api-core asks for a newer grpcio; we pin an older, faster one and speak HTTP to Google.
    warnings.simplefilter("ignore", FutureWarning)
    from googleapiclient.discovery import build

_CALENDAR_PATH: Final = "/calendar/v3/"
_GMAIL_ENDPOINT: Final = "https://gmail.googleapis.com"
_CALENDAR_ENDPOINT: Final = "https://www.googleapis.com"
# What the client does before sending: beyond this a GET travels as a POST that says it is a GET.
_MAX_URI_CHARS: Final = 2048


@dataclass(frozen=True, slots=True)
class GoogleServices:
    """The resources that we use, for one endpoint.

    `batch_uri` follows the endpoint, which the client's own batches would not.
    """

    users: Any
    messages: Any
    labels: Any
    history: Any
    freebusy: Any
    batch_uri: str


def google_services(endpoint: str = "") -> GoogleServices:
    """Build the resources. `endpoint` is scheme, host and port of another Google; empty means Google."""
    endpoint = endpoint.rstrip("/")
    users = _build("gmail", "v1", endpoint or _GMAIL_ENDPOINT).users()
    # A custom endpoint replaces the whole base URL, Calendar's path included; Gmail's is in each method.
    calendar = _build("calendar", "v3", (endpoint or _CALENDAR_ENDPOINT) + _CALENDAR_PATH)
    return GoogleServices(
        users=users,
        messages=users.messages(),
        labels=users.labels(),
        history=users.history(),
        freebusy=calendar.freebusy(),
        batch_uri=f"{endpoint or _GMAIL_ENDPOINT}/batch",
    )


def _build(api: str, version: str, endpoint: str) -> Any:
    # The placeholder keeps the client from looking for credentials and certificates on this machine.
    never_sends = object()
    return build(
        api, version, http=never_sends, static_discovery=True, client_options={"api_endpoint": endpoint}
    )


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request to Google, ready to send."""

    method: str
    uri: str
    headers: dict[str, str]
    body: bytes | None


def to_wire(request: Any) -> WireRequest:
    """Take a client's HttpRequest apart, as its own `execute` would send it."""
    body = request.body.encode() if isinstance(request.body, str) else request.body
    wire = WireRequest(request.method, request.uri, dict(request.headers), body)
    return _as_post(wire) if wire.method == "GET" and len(wire.uri) > _MAX_URI_CHARS else wire


def _as_post(wire: WireRequest) -> WireRequest:
    parts = urllib.parse.urlsplit(wire.uri)
    headers = {
        **wire.headers,
        "x-http-method-override": "GET",
        "content-type": "application/x-www-form-urlencoded",
    }
    bare = urllib.parse.urlunsplit(parts._replace(query=""))
    return replace(wire, method="POST", uri=bare, headers=headers, body=parts.query.encode())


@dataclass(frozen=True, slots=True)
class _Status:
    """What the client's decoder wants to know of a response."""

    status: int


def decode(request: Any, status: int, content: bytes) -> Any:
    """Decode a successful answer as the client does. Raises ValueError when it is not JSON."""
    decoded = request.postproc(_Status(status), content)
    if isinstance(decoded, (str, bytes)) and decoded:
        # The client hands back what it could not parse; batchModify's empty answer is no such thing.
        raise ValueError("answer is not JSON")
    return decoded
