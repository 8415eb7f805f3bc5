"""Addresses that an operator names and that we trust: https, or http on loopback while trying things out."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_PLAIN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""ASCII that may stand in a quoted string of a header as it is: no space, quote or backslash."""


def is_acceptable(url: str, *, is_production: bool) -> bool:
    """Whether an address may be trusted: https, or http on loopback in development; no user name."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and not is_production and is_loopback(host))


def is_identifier(uri: str, *, is_production: bool) -> bool:
    """Whether an address can name an issuer or a resource (RFC 8414 §2, RFC 8707 §2): no query besides."""
    is_plain = _PLAIN.fullmatch(uri) is not None and "?" not in uri and "#" not in uri
    return is_plain and is_acceptable(uri, is_production=is_production)


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def canonical(uri: str) -> str:
    """Write a resource's URI without its trailing slash, as the MCP specification does."""
    return uri.rstrip("/")
