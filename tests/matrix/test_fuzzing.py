"""Whatever is sent where a credential belongs: a typed refusal, in time, and no word of an exception.

Over real sockets, byte by byte: no client library tidies what is sent. Each server answers on its own, so a
request that would kill it shows in the next one.
"""

import asyncio
import base64
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.auth.adapters.verification_keys import keys_of
from services.auth.oauth.domain.clients import client_of_document
from services.auth.oauth.domain.errors import OAuthError
from tests.fakes.tokens import jwk
from tests.integration.auth.oauth.world import REDIRECT
from tests.matrix.authorization import authorizing
from tests.system import RunningSystem

TIMEOUT_S = 30.0
"""An answer may take long on a busy machine; a server that hangs is found out all the same."""
bounded = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = re.compile(
    rb"Traceback|\bline \d+, in|Error\(|Exception|object at 0x|\.py\b|NoneType|psycopg|sqlalchemy|asyncio\.",
    re.IGNORECASE,
)
"""What only the text of an exception says."""

# --- what is sent

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    ["alg", "typ", "kid", "crit", "iss", "aud", "sub", "exp", "iat", "nbf", "scope", "jti"]
)
_OBJECTS = st.dictionaries(_NAMES | st.text(max_size=6), _JSON, max_size=8)


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _jws(header: dict[str, Any], payload: dict[str, Any], signature: bytes) -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(_part(part) for part in parts)


TOKENS = st.builds(_jws, _OBJECTS, _OBJECTS, st.binary(max_size=70))
OPAQUE = st.from_regex(r"(ma_|mat_|mrt_|mac_|mc_|)[A-Za-z0-9_\-.~+/=]{0,60}", fullmatch=True)
HUGE = st.integers(1, 20_000).map(lambda size: "A" * size)
CREDENTIALS = TOKENS | OPAQUE | st.builds("{}{}".format, OPAQUE, TOKENS) | HUGE
_VALUES = st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
"""Bytes of a header's value, without what ends a line: that would be another request."""
SCHEMES = st.sampled_from([b"Bearer ", b"bearer\t", b"Basic ", b"", b"Bearer", b"DPoP ", b"Bearer  "])
HEADERS = st.lists(
    st.one_of(
        st.tuples(
            st.just(b"Authorization"),
            st.builds(bytes.__add__, SCHEMES, CREDENTIALS.map(str.encode) | _VALUES),
        ),
        st.tuples(st.just(b"X-API-Key"), CREDENTIALS.map(str.encode) | _VALUES),
        st.tuples(st.just(b"Cookie"), _VALUES | st.builds(lambda v: b"mailwarden=" + v, _VALUES)),
        st.tuples(st.sampled_from([b"X-Forwarded-For", b"Forwarded", b"X-Real-IP"]), _VALUES),
        st.tuples(st.just(b"X-Forwarded-For"), st.from_regex(rb"[0-9a-f:.,\[\]% ]{0,80}", fullmatch=True)),
        st.tuples(st.sampled_from([b"X-Request-Id", b"traceparent", b"tracestate", b"baggage"]), _VALUES),
    ),
    min_size=1,
    max_size=4,
)

# --- how it is sent


def exchange(
    url: str, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> bytes:
    """Send one request as it is and read until the server closes; gives all that came."""
    parts = urlsplit(url)
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + parts.netloc.encode(), b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    if body:
        lines.append(b"Content-Length: " + str(len(body)).encode())
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"\r\n".join([*lines, b"", body]))
            while chunk := connection.recv(65_536):
                answer += chunk
    return answer


def judged(answer: bytes) -> int:
    """Check one answer; gives its status, 0 where the server closed at bytes that are no HTTP."""
    if not answer:
        return 0
    status = int(answer.split(b" ", 2)[1])
    assert status < 500, answer[:600]
    assert not WORDS.search(answer), answer[:600]
    return status


CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
LIST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}).encode()
_TYPE = (b"Content-Type", b"application/json")
EDGES: dict[str, Callable[[RunningSystem, list[tuple[bytes, bytes]]], bytes]] = {
    "REST": lambda system, headers: exchange(system.rest, "GET", "/v1/me", headers),
    "MCP": lambda system, headers: exchange(
        system.mcp,
        "POST",
        "/mcp",
        [*headers, _TYPE, (b"Accept", b"application/json, text/event-stream")],
        CALL,
    ),
    "A2A": lambda system, headers: exchange(
        system.a2a, "POST", "/a2a/rpc", [*headers, _TYPE, (b"A2A-Version", b"1.0")], LIST
    ),
    "A2A HTTP+JSON": lambda system, headers: exchange(
        system.a2a, "GET", "/a2a/v1/tasks", [*headers, (b"A2A-Version", b"1.0")]
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_a_good_key_is_let_in_the_same_way(edge: str, guarded: RunningSystem) -> None:
    """What is sent by hand is HTTP: otherwise every refusal below would be for that."""
    for header in ((b"X-API-Key", b"%b"), (b"Authorization", b"Bearer %b")):
        value = header[1] % guarded.api_key.encode()
        assert judged(EDGES[edge](guarded, [(header[0], value)])) == 200


@pytest.mark.promise("input.credentials", "errors.bare")
@pytest.mark.parametrize("edge", EDGES)
@bounded
@given(headers=HEADERS)
def test_no_header_breaks_an_edge(
    edge: str, guarded: RunningSystem, headers: list[tuple[bytes, bytes]]
) -> None:
    """Credentials, cookies, addresses of proxies, ids of traces: nobody gets in, nothing breaks."""
    assert judged(EDGES[edge](guarded, headers)) in {0, 400, 401, 431}


@pytest.mark.promise("input.credentials")
@bounded
@given(passport=TOKENS | OPAQUE | st.text("\x20\x21\x7e\x2eaA", max_size=9_000))
@pytest.mark.parametrize("backend", ["auth", "mail_core"])
def test_no_passport_but_a_true_one_opens_a_backend(
    backend: str, guarded: RunningSystem, passport: str
) -> None:
    """Shown with the certificate of an edge."""
    method = {
        "auth": "/mailwarden.auth.v1.AuthService/GetMe",
        "mail_core": "/mailwarden.mail.v1.MailService/ListMailboxes",
    }[backend]
    channel = _channel(guarded, backend)
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method)(b"", metadata=[("x-passport", passport)], timeout=TIMEOUT_S)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED, error
    assert not WORDS.search(error.details().encode())


_CHANNELS: dict[str, grpc.Channel] = {}


def _channel(system: RunningSystem, backend: str) -> grpc.Channel:
    address = system.backends[backend]
    if address not in _CHANNELS:
        authority, certificate, key = system.certificate("edge_rest")
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        _CHANNELS[address] = grpc.secure_channel(address, credentials)
    return _CHANNELS[address]


@pytest.fixture(scope="module", autouse=True)
def _closed_channels() -> Iterator[None]:
    yield
    for channel in _CHANNELS.values():
        channel.close()
    _CHANNELS.clear()


@pytest.mark.promise("input.credentials")
@bounded
@given(cursor=OPAQUE | TOKENS | st.text(max_size=40))
@pytest.mark.parametrize(
    "path", ["/v1/audit?before=", "/v1/team/keys?page_token=", "/v1/mailboxes?page_token="]
)
def test_no_cursor_breaks_a_list(path: str, guarded: RunningSystem, cursor: str) -> None:
    """Asked by somebody who may."""
    name, _, query = path.partition("?")
    asked = f"{name}?{urlencode({query.rstrip('='): cursor})}"
    key = [(b"X-API-Key", guarded.api_key.encode())]
    assert judged(exchange(guarded.rest, "GET", asked, key)) in {200, 400}


# --- the authorization server


class _Loop:
    """An event loop of its own in a thread, for what is asynchronous around tests that are not."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture(scope="module")
def issuer(guarded: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of the authorization server, and a client that it knows."""
    loop, context = _Loop(), authorizing(guarded, tmp_path_factory.mktemp("issuer"))
    browser = loop.run(context.__aenter__())
    try:
        yield browser.issuer, loop.run(browser.register())["client_id"]
    finally:
        loop.run(context.__aexit__(None, None, None))
        loop.close()


_FIELDS = st.sampled_from(
    [
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "code_verifier",
        "refresh_token",
        "scope",
        "resource",
        "token",
        "token_type_hint",
        "response_type",
        "state",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "request",
        "request_uri",
        "ticket",
        "decision",
        "key",
        "iss",
        "error",
    ]
)
_KNOWN = st.sampled_from(
    [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "code",
        "S256",
        "plain",
        "none",
        REDIRECT,
        "https://mail.example/mcp",
        "https://agent.example/client.json",
        "mail:scan",
        "login",
        "allow",
    ]
)
FORMS = st.lists(st.tuples(_FIELDS, _KNOWN | CREDENTIALS | st.text(max_size=30)), max_size=9)
ENDPOINTS = ("token", "revoke", "introspect", "sign-in", "consent", "authorize")
_FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


@pytest.mark.promise("input.credentials", "errors.bare")
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@bounded
@given(form=FORMS, known=st.booleans(), headers=HEADERS | st.just([]))
def test_no_form_breaks_the_authorization_server(
    endpoint: str,
    issuer: tuple[str, str],
    form: list[tuple[str, str]],
    known: bool,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Parameters in any number and shape, with a client that is known or not: never a token, never a 500."""
    url, client_id = issuer
    fields = [*form, ("client_id", client_id)] if known else form
    body = urlencode(fields, errors="surrogatepass").encode()
    answer = exchange(url, "POST", f"/oauth/{endpoint}", [*headers, _FORM], body or b"x")
    judged(answer)
    assert b'"access_token"' not in answer
    judged(exchange(url, "GET", f"/oauth/authorize?{body.decode()[:4_000]}", headers))


@pytest.mark.promise("input.credentials")
@bounded
@given(
    body=st.binary(max_size=200)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | _OBJECTS.map(lambda value: json.dumps({"redirect_uris": [REDIRECT], **value}).encode())
)
def test_no_registration_breaks_the_authorization_server(issuer: tuple[str, str], body: bytes) -> None:
    """Made, or refused as the protocol says."""
    assert judged(exchange(issuer[0], "POST", "/oauth/register", [_TYPE], body or b"x")) in {201, 400, 429}


# --- documents that others publish

_METADATA = st.dictionaries(
    st.sampled_from(
        [
            "client_name",
            "redirect_uris",
            "grant_types",
            "response_types",
            "scope",
            "client_secret",
            "token_endpoint_auth_method",
            "application_type",
        ]
    ),
    _JSON
    | st.lists(st.sampled_from([REDIRECT, "https://a.example/cb", "javascript:1", "http://x/"]), max_size=3),
)
_URL = "https://agent.example/client.json"


@pytest.mark.promise("input.credentials")
@settings(bounded, max_examples=300)
@given(
    body=st.binary(max_size=200)
    | _METADATA.map(lambda said: json.dumps({"client_id": _URL, **said}).encode())
)
def test_no_document_of_a_client_breaks_its_reader(body: bytes) -> None:
    """A client with a redirect URI that is allowed, or an error of the protocol."""
    with contextlib.suppress(OAuthError):
        client = client_of_document(_URL, body)
        assert client.redirect_uris
        assert client.secret_hash is None


_GOOD_KEY = jwk(rsa.generate_private_key(65_537, 2_048), "k1")


@pytest.mark.promise("input.credentials")
@settings(bounded, max_examples=300)
@given(
    changes=st.dictionaries(st.sampled_from([*_GOOD_KEY, "use", "key_ops", "crv", "x", "y", "d"]), _JSON),
    beside=_JSON,
)
def test_no_set_of_keys_breaks_its_reader(changes: dict[str, Any], beside: Any) -> None:
    """What is unfit is left out, and a good key beside it still counts."""
    published = {"keys": [{**_GOOD_KEY, **changes}, beside, {**_GOOD_KEY, "kid": "good"}]}
    found = keys_of(published, frozenset({"RS256"}))
    assert "good" in {key.key_id for key in found}
    assert keys_of({"keys": beside}, frozenset({"RS256"})) == ()
