"""Where an answer may be sent: exact redirect URIs, with the one exception of RFC 8252 §7.3."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from services.auth.oauth.domain.errors import OAuthError, invalid_redirect_uri

MAX_CHARS: Final = 1_024
_MAX_HOST_CHARS: Final = 253
_PRINTABLE: Final = re.compile(r"[!-~]+")
_FORBIDDEN: Final = re.compile(r'[\\"<>^`{|}\']')
_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_ON_LOOPBACK: Final = re.compile(r"http://(?P<host>127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?(?P<rest>[/?].*|)")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_ANSWERS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
"""What our answer adds to a redirect URI. One that brings them along could answer for us."""
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
    if any(name in _ANSWERS for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise invalid_redirect_uri("A redirect URI must not hold parameters of the answer.")


def is_plain_authority(netloc: str) -> bool:
    """Whether the authority of a URI is a host name or address, with a port or without, and nothing else.

    No user name, no escapes, no dot at the end, no empty port: browsers and programs read those differently,
    and what is none of this could end a directive of the Content-Security-Policy that names it.
    """
    host, port = netloc, None
    if netloc.startswith("["):
        host, bracket, rest = netloc[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            return False
        port = rest[1:] if rest else None
        return port is None or _PORT.fullmatch(port) is not None
    if ":" in netloc:
        host, _, port = netloc.partition(":")
    if port is not None and not _PORT.fullmatch(port):
        return False
    return len(host) <= _MAX_HOST_CHARS and _HOST_NAME.fullmatch(host) is not None


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


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
        return is_plain_authority(parts.netloc)
    if parts.scheme == "http":
        return parts.hostname in _LOCAL_NAMES and is_plain_authority(parts.netloc)
    return _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None


def _differ_in_loopback_port_only(uri: str, known: str) -> bool:
    asked, registered = _ON_LOOPBACK.fullmatch(uri), _ON_LOOPBACK.fullmatch(known)
    if asked is None or registered is None or asked.group("host", "rest") != registered.group("host", "rest"):
        return False
    try:
        check_redirect_uri(uri)
    except OAuthError:
        return False
    return True
