"""Reads the grant that the personal agent keeps in `token.json`."""

import ipaddress
from typing import Any, Final

import orjson
import yarl

from services.common.errors import AppError, invalid
from services.mail_core.ports import GoogleGrant

GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  an address, not a secret
_GOOGLE_HOSTS: Final = ("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com")
_MAX_CHARS: Final = 64 * 1024


def read_grant(token_json: str) -> GoogleGrant:
    """Read Google's authorized-user JSON, of google-auth or of the oauth2client before it.

    The access token in it is ignored: it is stale or soon will be. Raises INVALID_ARGUMENT
    TOKEN_FILE_INVALID, without quoting any of the content.
    """
    if len(token_json) > _MAX_CHARS:
        raise _unfit("it is larger than 64 KiB")
    try:
        content = orjson.loads(token_json)
    except orjson.JSONDecodeError:
        raise _unfit("it is not JSON") from None
    if not isinstance(content, dict):
        raise _unfit("it is not a JSON object")
    if "installed" in content or "web" in content:
        raise _unfit(
            "it is a client file (credentials.json); token.json is written after the owner's consent"
        )
    return GoogleGrant(
        client_id=_text(content, "client_id"),
        client_secret=_text(content, "client_secret"),
        refresh_token=_text(content, "refresh_token"),
        token_uri=_token_uri(content.get("token_uri") or GOOGLE_TOKEN_URI),
        scopes=_scopes(content.get("scopes") or content.get("scope") or ()),
    )


def check_address(setting: str, uri: str) -> str:
    """Check an address that tokens are sent to: empty, https, or http on this machine. Raises ValueError."""
    parsed = yarl.URL(uri)
    if not uri or (parsed.scheme == "https" and parsed.host):
        return uri
    if parsed.scheme == "http" and _is_loopback(parsed.host or ""):
        return uri
    raise ValueError(f"{setting} must be https, or http on a loopback address")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token_uri(uri: Any) -> str:
    # A file that somebody uploads must not choose where a client secret and a refresh token are sent.
    try:
        parsed = yarl.URL(uri)
    except (TypeError, ValueError):
        raise _unfit("token_uri is no URL") from None
    if parsed.scheme == "https" and parsed.host in _GOOGLE_HOSTS:
        return str(parsed)
    # The sandbox writes its own; it works only together with GOOGLE_TOKEN_URI, which has the last word.
    if parsed.scheme == "http" and _is_loopback(parsed.host or ""):
        return GOOGLE_TOKEN_URI
    raise _unfit("token_uri is not Google's")


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise _unfit(f"{name} is missing or not plain text")
    return value


def _scopes(value: Any) -> tuple[str, ...]:
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, (list, tuple)) or not all(isinstance(scope, str) for scope in scopes):
        raise _unfit("scopes is neither a list nor text")
    return tuple(scopes)


def _unfit(why: str) -> AppError:
    return invalid("TOKEN_FILE_INVALID", f"The token file cannot be used: {why}.", field="token_json")
