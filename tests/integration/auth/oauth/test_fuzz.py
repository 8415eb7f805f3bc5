"""Thousands of broken requests at every route: a typed refusal each time, nothing changed, nothing told."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from services.auth.oauth.domain.pkce import challenge_of
from tests.integration.auth.oauth.test_sessions import ticket_for
from tests.integration.auth.oauth.world import FORM, REDIRECT, RESOURCE, VERIFIER, World

ROUNDS = 25
JUNK = (
    "",
    " ",
    "\x00",
    "\x7f",
    "\r\nSet-Cookie: x=y",
    "'; DROP TABLE teams; --",
    "%s%n{0}{{7*7}}",
    "\u202e\u0430",
    "\U0001f4a9",
    "../../etc/passwd",
    "null",
    "-1",
    "9" * 400,
    "A" * 2_049,
    "mat_x.y.z",
    "mrt_" + "A" * 43,
    "mac_" + "A" * 43,
    "ma_" + "A" * 43,
    "eyJhbGciOiJub25lIn0.e30.",
    "https://[::1",
    "https://a.example/\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "x",
    ["x"],
    [None],
    "\x00",
)
HEADERS = (
    {},
    {"Authorization": "Basic " + "A" * 600},
    {"Authorization": "Basic Og=="},
    {"Authorization": "Basic \xff"},
    {"Authorization": "Bearer x"},
    {"Authorization": "Digest username=x"},
    {"Cookie": "mailwarden=" + "A" * 3_000},
    {"Cookie": 'mailwarden="; a=b; =; ;;'},
    {"X-Forwarded-For": "x, 999.1.1.1, ::"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "x"},
    {"Content-Type": "application/x-www-form-urlencoded; charset=\xff"},
    {"Content-Encoding": "deflate"},
    {"Accept-Language": "\xff"},
)


def mutated(form: dict[str, str], dice: random.Random) -> bytes:
    """A good form, broken in a few places."""
    pairs = list(form.items())
    for _ in range(dice.randint(1, 3)):
        kind, place = dice.randrange(5), dice.randrange(len(pairs)) if pairs else 0
        if not pairs or kind == 0:
            pairs.append((dice.choice(["x", "scope:team:admin", "resource", "\u00e9"]), dice.choice(JUNK)))
        elif kind == 1:
            del pairs[place]
        elif kind == 2:
            pairs.append(pairs[place])
        else:
            pairs[place] = (pairs[place][0], dice.choice(JUNK))
    raw = urlencode(pairs).encode()
    if dice.randrange(6) == 0:
        cut = dice.randrange(len(raw) + 1)
        raw = raw[:cut] + bytes(dice.randrange(256) for _ in range(4)) + raw[cut:]
    return raw


def mutated_json(said: dict[str, Any], dice: random.Random) -> bytes:
    """Good metadata, broken in a few places."""
    for _ in range(dice.randint(1, 3)):
        said[dice.choice([*said, "scope", "jwks", "client_secret"])] = dice.choice([*VALUES, *JUNK[:6]])
    raw = json.dumps(said).encode()
    return raw[: dice.randrange(len(raw))] if dice.randrange(6) == 0 else raw


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_that_is_sent_breaks_anything(world: World, seed: int) -> None:
    """No 500, no word of an exception, no redirect to a stranger, no row of a team that was not asked for."""
    dice = random.Random(seed)
    client, key = (await world.register())["client_id"], await world.key()
    await world.redeem(client, await world.code(client, key))
    page = await world.sign_in(client, key)
    account = await world.browse("GET", "/oauth/account")
    good: dict[str, dict[str, str]] = {
        "token": {
            "grant_type": "authorization_code",
            "client_id": client,
            "code": "mac_" + "A" * 43,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        },
        "introspect": {"client_id": key.id, "client_secret": "ma_" + "A" * 43, "token": "mat_x"},
        "revoke": {"client_id": client, "token": "mrt_" + "A" * 43},
        "sign-in": {"ticket": page.field("ticket"), "key": "ma_" + "A" * 43},
        "consent": {"ticket": page.field("ticket"), "decision": "allow", "scope:nothing": "on"},
        "account": {"ticket": ticket_for(account, "/oauth/account"), "grant": key.id},
        "sign-out": {"ticket": "x"},
    }
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": REDIRECT,
        "state": "st",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "resource": RESOURCE,
    }
    before = await world.own("SELECT count(*) FROM oauth_grants")

    def requests() -> list[tuple[str, str, dict[str, Any]]]:
        posts = [("POST", f"/oauth/{route}", {"data": mutated(form, dice)}) for route, form in good.items()]
        query = quote(mutated(asked, dice), safe="=&%+")
        return [
            *posts,
            ("GET", f"/oauth/authorize?{query}", {}),
            ("GET", f"/oauth/callback?{query}", {}),
            ("POST", "/oauth/authorize", {"data": mutated(asked, dice)}),
            ("POST", "/oauth/register", {"data": mutated_json({"redirect_uris": [REDIRECT]}, dice)}),
            (dice.choice(["PUT", "DELETE", "HEAD", "PATCH", "TRACE"]), "/oauth/token", {}),
        ]

    for _ in range(ROUNDS):
        for method, path, options in requests():
            headers = {"Content-Type": "application/json" if "register" in path else FORM}
            headers |= dice.choice(HEADERS)
            call: Callable[..., Any] = world.browse if "Cookie" not in headers else world.call
            answer = await call(method, path, headers=headers, **options)
            assert answer.status < 500, (method, path, options, headers, answer.text)
            assert not set(answer.text.split()) & {"Traceback", "psycopg", "Exception", "Error:"}
            if "Location" in answer.headers:
                assert answer.location.startswith((REDIRECT + "?", "/oauth/account")), answer.location
            elif answer.status >= 400 and method != "HEAD":
                is_typed = '"error"' in answer.text or "This did not work" in answer.text
                assert is_typed or "name=key" in answer.text, (answer.status, answer.text)
    assert await world.own("SELECT count(*) FROM oauth_grants") == before


@pytest.mark.parametrize(
    "head",
    [
        b"GET /oauth/account HTTP/1.1\r\nHost: a\r\nX-API-Key: planted-secret\x00\r\n\r\n",
        b"planted-secret\r\n\r\n",
        b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nplanted",
        b"GET /oauth/account HTTP/1.1\r\nHost: a\r\nAuthorization: "
        + b"planted-secret" * 2_000
        + b"\r\n\r\n",
        b"GET /oauth/account HTTP/1.1\r\nHost: a\r\nExpect: planted-secret\r\n\r\n",
    ],
)
async def test_what_cannot_be_parsed_is_answered_without_the_parsers_words(world: World, head: bytes) -> None:
    """They quote the request, which may hold a credential, and name the versions of what we are made of."""
    address = urlsplit(world.issuer)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head)
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"}")
    writer.close()
    assert answer.split(b" ")[1] in {b"400", b"417", b"431"}
    assert b'"error": "invalid_request"' in answer
    assert b"Server: mailwarden" in answer
    assert not any(word in answer for word in (b"planted", b"aiohttp", b"Python"))
