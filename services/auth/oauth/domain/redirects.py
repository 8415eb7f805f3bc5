"""Where an answer may be sent: exact redirect URIs, with the one exception of RFC 8252 §7.3."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from services.auth.oauth.domain.errors import OAuthError, invalid_redirect_uri

MAX_CHARS: Final = 1_024
_PRINTABLE: Final = re.compile(r"[!-~]+")
_FORBIDDEN: Final = re.compile(r'[\\"<>^`{|}\']')
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_LOCAL_NAMES: Final = _LOOPBACK | {"localhost"}
# Reverse domain names, as RFC 8252 §7.1 wants them: no `javascript:`, `data:` or `file:` among them.
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+")


def check_redirect_uri(uri: str) -> None:
    """Refuse what no answer should ever be sent to. Raises OAuthError invalid_redirect_uri."""
    if len(uri) > MAX_CHARS or not _PRINTABLE.fullmatch(uri) or _FORBIDDEN.search(uri) or "#" in uri:
        raise invalid_redirect_uri("A redirect URI must be a plain absolute URI without a fragment.")
    parts = _split(uri)
    if parts is None or parts.username is not None or parts.password is not None:
        raise invalid_redirect_uri("A redirect URI must be a plain absolute URI without a user name.")
    if not _is_fitting(parts):
        raise invalid_redirect_uri("A redirect URI must be https, http on loopback, or an app's own scheme.")


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Whether a URI is one of the client's: the same text, but for the port of a loopback address."""
    return any(uri == known or _differ_in_loopback_port_only(uri, known) for known in registered)


def origin_of(uri: str) -> str:
    """What a Content-Security-Policy calls the place that a URI leads to."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"https", "http"} else f"{parts.scheme}:"


def host_of(uri: str) -> str:
    """What to call the place that a URI leads to when a person is asked."""
    parts = urlsplit(uri)
    if parts.scheme not in {"https", "http"}:
        return f"an app on this device ({parts.scheme})"
    host = parts.hostname or ""
    return "a program on this device" if host in _LOCAL_NAMES else host


def _split(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_fitting(parts: SplitResult) -> bool:
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme == "http":
        return parts.hostname in _LOCAL_NAMES
    return _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None


def _differ_in_loopback_port_only(uri: str, known: str) -> bool:
    try:
        check_redirect_uri(uri)
    except OAuthError:
        return False
    left, right = urlsplit(uri), urlsplit(known)
    if not uri.startswith("http://") or left.hostname not in _LOOPBACK:
        return False
    return _but_port(left) == _but_port(right)


def _but_port(parts: SplitResult) -> tuple[str, ...]:
    return (parts.scheme, parts.hostname or "", parts.path, parts.query)
