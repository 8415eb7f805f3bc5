"""What attackers and broken clients send: a typed error every time, and no redirect that was not checked."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.auth.oauth.world import FORM, REDIRECT, World

STOLEN = [
    "https://evil.example/callback",
    REDIRECT + "/..",
    REDIRECT + "?x=1",
    REDIRECT + "#x",
    "http://127.0.0.1.evil.example:7777/callback",
    "http://127.0.0.1@evil.example/callback",
    "http://127.0.0.1:7777@evil.example/callback",
    "http://localhost:7777/callback",
    "//evil.example/callback",
    "javascript:alert(1)",
    "http://127.0.0.1:7777\\@evil.example/callback",
    "http://127.0.0.1:99999/callback",
    "HTTP://127.0.0.1:7777/callback",
]


@pytest.mark.promise("rights.redirects")
@pytest.mark.parametrize("uri", STOLEN)
async def test_no_answer_goes_where_the_client_is_not(world: World, uri: str) -> None:
    """An open redirector is refused with a page (RFC 9700 §4.11)."""
    client = (await world.register())["client_id"]
    answer = await world.call("GET", world.asking(client, redirect_uri=uri))
    assert answer.status == 400
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


async def test_a_program_on_the_device_may_choose_its_port(world: World) -> None:
    """RFC 8252 §7.3, for addresses of loopback and nothing else of the URI."""
    client = (await world.register(redirect_uris=["http://127.0.0.1/cb", "http://[::1]/cb"]))["client_id"]
    for uri, status in (
        ("http://127.0.0.1:51234/cb", 200),
        ("http://[::1]:51234/cb", 200),
        ("http://127.0.0.1:51234/cb2", 400),
        ("https://127.0.0.1:51234/cb", 400),
    ):
        assert (await world.call("GET", world.asking(client, redirect_uri=uri))).status == status, uri


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "team:admin"}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
        ({"request_uri": "https://evil.example"}, "request_not_supported"),
    ],
)
async def test_the_client_hears_what_is_wrong(world: World, changes: dict[str, str], error: str) -> None:
    """At its own redirect URI, with its state and our name (RFC 9207)."""
    client = (await world.register())["client_id"]
    answer = await world.call("GET", world.asking(client, **changes))
    assert answer.status == 302, answer.text
    assert answer.location.startswith(REDIRECT + "?")
    assert (answer.sent["error"], answer.sent["state"], answer.sent["iss"]) == (error, "st", world.issuer)


@pytest.mark.parametrize(
    "name", ["client_id", "redirect_uri", "state", "scope", "code_challenge", "resource"]
)
async def test_a_parameter_that_comes_twice_is_refused(world: World, name: str) -> None:
    """RFC 6749 §3.1: two readers could choose differently."""
    client = (await world.register())["client_id"]
    answer = await world.call("GET", world.asking(client) + "&" + urlencode({name: "x"}))
    assert (answer.status, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "client_id", ["", "mc_x", "mc_" + "A" * 22, "' OR 1=1", "x" * 3000, "http://a.example/x"]
)
async def test_an_unknown_client_gets_a_page(world: World, client_id: str) -> None:
    """Nothing that it names is trusted."""
    answer = await world.call("GET", world.asking(client_id))
    assert answer.status in {400, 401}
    assert "Location" not in answer.headers


BODIES: dict[str, tuple[dict[str, Any], set[int]]] = {
    "json": ({"json": {"grant_type": "client_credentials"}}, {400}),
    "no type": ({"data": b"grant_type=x", "headers": {"Content-Type": "text/plain"}}, {400}),
    "twice": (
        {"data": b"grant_type=refresh_token&grant_type=password", "headers": {"Content-Type": FORM}},
        {400},
    ),
    "not utf-8": ({"data": b"grant_type=%ff%fe", "headers": {"Content-Type": FORM}}, {400}),
    "raw bytes": ({"data": b"grant_type=\xff", "headers": {"Content-Type": FORM}}, {400}),
    "huge": ({"data": b"a=" + b"x" * 100_000, "headers": {"Content-Type": FORM}}, {413}),
    "many": ({"data": b"&".join(b"p%d=1" % n for n in range(200)), "headers": {"Content-Type": FORM}}, {400}),
    "nul": ({"data": b"grant_type=%00", "headers": {"Content-Type": FORM}}, {400}),
    "empty": ({"data": b"", "headers": {"Content-Type": FORM}}, {400, 401}),
    "gzip": ({"data": b"\x1f\x8b", "headers": {"Content-Type": FORM, "Content-Encoding": "gzip"}}, {400}),
    "basic rubbish": (
        {"data": {"grant_type": "client_credentials"}, "headers": {"Authorization": "Basic !!!"}},
        {401},
    ),
    "bearer": (
        {"data": {"grant_type": "client_credentials"}, "headers": {"Authorization": "Bearer x"}},
        {401},
    ),
}


@pytest.mark.parametrize("path", ["token", "introspect", "revoke"])
@pytest.mark.parametrize("name", BODIES)
async def test_bodies_of_every_shape_get_a_typed_error(world: World, path: str, name: str) -> None:
    """JSON, no-store, an OAuth code, and no word of an exception."""
    options, statuses = BODIES[name]
    answer = await world.call("POST", f"/oauth/{path}", **options)
    assert answer.status in statuses, answer.text
    assert set(answer.json) == {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "said",
    [
        {"redirect_uris": []},
        {"redirect_uris": ["http://evil.example/cb"]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["data:text/html,x"]},
        {"redirect_uris": ["https://a.example/#x"]},
        {"redirect_uris": ["https://u:p@a.example/"]},
        {"redirect_uris": ["https://a.example/?code=x"]},
        {"redirect_uris": ["https://a.example/?iss=https%3A%2F%2Fevil.example"]},
        {"redirect_uris": ["https://a.example;script-src/"]},
        {"redirect_uris": ["https://a%2eexample/"]},
        {"redirect_uris": ["https://a.example:/"]},
        {"redirect_uris": ["https://\u0430.example/"]},
        {"redirect_uris": ["https:///a.example"]},
        {"redirect_uris": ["http://[::1%25eth0]/"]},
        {"redirect_uris": [f"https://a.example/{n}" for n in range(11)]},
        {"redirect_uris": [1]},
        {"redirect_uris": "https://a.example/"},
        {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt"},
        {"redirect_uris": [REDIRECT], "grant_types": ["client_credentials"]},
        {"redirect_uris": [REDIRECT], "response_types": ["token"]},
    ],
)
async def test_unfit_clients_are_not_registered(world: World, said: dict[str, Any]) -> None:
    """RFC 7591 §3.2.2."""
    answer = await world.call("POST", "/oauth/register", json=said)
    assert answer.status == 400
    assert answer.json["error"] in {"invalid_client_metadata", "invalid_redirect_uri"}


async def test_a_form_of_another_site_is_not_taken(world: World) -> None:
    """Origin, fetch metadata, a foreign ticket, no cookie: each alone stops it."""
    client, key = (await world.register())["client_id"], await world.key()
    page = await world.sign_in(client, key)
    form = {"ticket": page.field("ticket"), "decision": "allow", "scope:mail:scan": "on"}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await world.browse("POST", "/oauth/consent", data=form, headers=headers)).status == 403
    assert (await world.call("POST", "/oauth/consent", data=form)).status == 403
    stranger = dict(world.cookies)
    await world.sign_in(client, key)
    assert (await world.browse("POST", "/oauth/consent", data=form)).status == 403
    world.cookies = stranger
    answer = await world.browse(
        "POST", "/oauth/consent", data={**form, "ticket": form["ticket"][:-4] + "AAAA"}
    )
    assert answer.status == 403


async def test_pages_cannot_be_framed_and_run_nothing(world: World) -> None:
    """Clickjacking, scripts, caches; and a client's name is text."""
    client = (await world.register(client_name="<script>alert(1)</script>\u202e"))["client_id"]
    page = await world.sign_in(client, await world.key())
    assert "<script" not in page.text
    assert "\u202e" not in page.text
    csp = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in csp
    assert "frame-ancestors 'none'" in csp
    assert "script-src" not in csp
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "no-store"


async def test_only_admin_keys_sign_in(world: World) -> None:
    """A key that something narrows does not speak for the team; nor does any token."""
    client, admin = (await world.register())["client_id"], await world.key()
    token = (
        await world.token(grant_type="client_credentials", client_id=admin.id, client_secret=admin.secret)
    ).json
    for secret in (
        (await world.key(admin.team_id, frozenset({"mail:scan"}))).secret,
        (await world.key(admin.team_id, read_only=True)).secret,
        "ma_" + "A" * 43,
        token["access_token"],
        "",
    ):
        world.cookies.clear()
        page = await world.browse("GET", world.asking(client))
        form = {"ticket": page.field("ticket"), "key": secret}
        assert (await world.browse("POST", "/oauth/sign-in", data=form)).status == 403


async def test_a_person_can_say_no_or_tick_nothing(world: World) -> None:
    """Access denied goes to the client; nothing ticked asks again; what was not asked cannot be ticked."""
    client = (await world.register())["client_id"]
    page = await world.sign_in(client, await world.key())
    assert (await world.consent(page)).status == 200
    assert (await world.consent(page, "unsubscribe:execute")).status == 200
    assert (await world.consent(page, decision="deny")).sent["error"] == "access_denied"


async def test_keys_get_tokens_and_tokens_get_nothing(world: World) -> None:
    """client_credentials: only the key itself, only for what it holds, and never by a token."""
    key = await world.key(scopes=frozenset({"mail:scan", "team:admin"}))
    good = {"grant_type": "client_credentials", "client_id": key.id, "client_secret": key.secret}
    got = await world.token(**good, expires_in="300")
    assert (got.status, got.json["expires_in"], got.json["scope"]) == (200, 300, "mail:scan")
    assert "refresh_token" not in got.json
    basic = b64encode(f"{key.id}:{key.secret}".encode()).decode()
    by_header = await world.call(
        "POST",
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {basic}"},
    )
    assert by_header.status == 200
    other = await world.key()
    for changes, error in (
        ({"client_secret": got.json["access_token"]}, "invalid_client"),
        ({"client_secret": got.json["access_token"][4:]}, "invalid_client"),
        ({"client_secret": other.secret}, "invalid_client"),
        ({"client_id": other.id}, "invalid_client"),
        ({"expires_in": "299"}, "invalid_request"),
        ({"expires_in": "86401"}, "invalid_request"),
        ({"expires_in": "0000036009999999"}, "invalid_request"),
        ({"expires_in": "3600.0"}, "invalid_request"),
        ({"scope": "unsubscribe:execute"}, "invalid_scope"),
        ({"scope": "team:admin"}, "invalid_scope"),
    ):
        assert (await world.token(**{**good, **changes})).json["error"] == error, changes


async def test_tokens_are_told_about_and_taken_back(world: World) -> None:
    """RFC 7662 to the same team only; RFC 7009 for the client's own only."""
    key, stranger = await world.key(), await world.key()
    mine = {"client_id": key.id, "client_secret": key.secret}
    token = (await world.token(grant_type="client_credentials", **mine)).json["access_token"]
    asked = await world.call("POST", "/oauth/introspect", data={"token": token, **mine})
    assert (asked.json["active"], asked.json["client_id"]) == (True, key.id)
    theirs = {"client_id": stranger.id, "client_secret": stranger.secret}
    assert (await world.call("POST", "/oauth/introspect", data={"token": token, **theirs})).json == {
        "active": False
    }
    assert (await world.call("POST", "/oauth/introspect", data={"token": token})).status == 401
    assert (await world.call("POST", "/oauth/revoke", data={"token": token, **theirs})).status == 200
    assert (await world.call("POST", "/oauth/introspect", data={"token": token, **mine})).json["active"]
    assert (await world.call("POST", "/oauth/revoke", data={"token": token, **mine})).status == 200
    assert (await world.call("POST", "/oauth/introspect", data={"token": token, **mine})).json == {
        "active": False
    }
