"""Reads what comes over HTTP: forms, JSON and client credentials, strictly and with bounds."""

import asyncio
import binascii
from base64 import b64decode
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from services.auth.oauth.domain.clients import read_json_object
from services.auth.oauth.domain.errors import OAuthError, invalid_client, invalid_request
from services.auth.oauth.domain.parameters import Parameters
from services.auth.oauth.operations.find_client import Credentials

MAX_BODY_BYTES: Final = 16 * 1024
BODY_TIMEOUT_S: Final = 10.0
_MAX_FIELDS: Final = 64
_TOO_LARGE: Final = 413


def query_of(request: web.Request) -> Parameters:
    """Read the query. Raises OAuthError invalid_request."""
    return _parameters(request.url.raw_query_string)


async def form_of(request: web.Request) -> Parameters:
    """Read a form. Raises OAuthError invalid_request."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise invalid_request("Send application/x-www-form-urlencoded.")
    if request.url.raw_query_string:
        # What is in an address ends up in logs (RFC 6749 §2.3.1).
        raise invalid_request("Send parameters in the body only.")
    body = await _body(request)
    try:
        return _parameters(body.decode())
    except UnicodeDecodeError:
        raise invalid_request("The form is not UTF-8.") from None


async def json_of(request: web.Request) -> dict[str, Any]:
    """Read a JSON object. Raises OAuthError invalid_request, invalid_client_metadata."""
    if request.content_type != "application/json":
        raise invalid_request("Send application/json.")
    return read_json_object(await _body(request))


def credentials_of(request: web.Request, form: Parameters) -> Credentials:
    """Read which client it is. Raises OAuthError invalid_request, invalid_client."""
    headers = request.headers.getall("Authorization", [])
    named, secret = form.get("client_id"), form.get("client_secret")
    if not headers:
        if not named:
            raise invalid_client()
        return Credentials(named, secret, "client_secret_post" if secret else "none")
    if len(headers) > 1 or secret:
        raise invalid_request("Authenticate in one way only.")
    shown = _basic(headers[0])
    if named and named != shown.client_id:
        raise invalid_request("Two clients are named.")
    return shown


def _basic(header: str) -> Credentials:
    scheme, _, encoded = header.partition(" ")
    try:
        halves = b64decode(encoded.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        halves = ""
    name, mark, secret = halves.partition(":")
    if not mark or not name or not secret:
        raise invalid_client()
    return Credentials(unquote_plus(name), unquote_plus(secret), "client_secret_basic")


def _parameters(text: str) -> Parameters:
    if not text:
        return Parameters({})
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise invalid_request("The parameters cannot be read.") from None
    return Parameters.of(pairs)


async def _body(request: web.Request) -> bytes:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise invalid_request("Send the body as it is.")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except web.RequestPayloadError:
        raise invalid_request("The body does not follow its own framing.") from None
    except TimeoutError:
        raise invalid_request("The body did not arrive in time.", status=408) from None


def _too_large() -> OAuthError:
    return invalid_request("The body is too large.", status=_TOO_LARGE)
