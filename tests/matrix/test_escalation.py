"""What others got wrong in several steps: rights that grow on the way, and filters that reach too far."""

import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.grpc_client import Channel
from tests.integration.auth.oauth.world import RESOURCE
from tests.integration.auth.oauth.world import World as Browser
from tests.matrix.authorization import authorizing
from tests.matrix.callers import As
from tests.matrix.ways import reason_in
from tests.matrix.world import Member, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with authorizing(world.system, tmp_path_factory.mktemp("authorization")) as made:
        yield made


async def ask(world: World, who: Member, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask REST; gives status and JSON."""
    headers, options = {"X-API-Key": who.secret}, {} if body is None else {"json": body}
    async with world.http.request(method, world.system.rest + path, headers=headers, **options) as answer:
        return answer.status, await answer.json()


@pytest.mark.promise("rights.never-grow")
async def test_a_token_of_a_narrow_key_is_as_narrow(world: World, browser: Browser) -> None:
    """Read-only, prefix and scopes go with it, other scopes cannot be had, and no token makes another."""
    narrow = await world.key(
        "narrow-1", scopes=["mail:scan", "unsubscribe:read"], read_only=True, label_prefix="narrow-"
    )
    form = {"grant_type": "client_credentials", "client_id": narrow.key_id, "client_secret": narrow.secret}
    granted = (await browser.token(**form, resource=RESOURCE)).json
    channel = Channel(browser.admin_url, "auth", world.tls("edge_mcp"))
    stub = auth_pb2_grpc.AuthServiceStub(channel)  # type: ignore[arg-type]
    request = auth_pb2.IssuePassportRequest(
        bearer=granted["access_token"], audience="mail_core", resource=RESOURCE
    )
    caller = (await stub.IssuePassport(request)).passport.caller
    await channel.close()
    assert (caller.restrictions.read_only, caller.restrictions.label_prefix) == (True, "narrow-")
    assert set(caller.scopes) == {"mail:scan", "unsubscribe:read"}
    assert {f"key:{narrow.key_id}", f"team:{world.team_id}"} <= set(caller.roots)
    greedy = await browser.token(**form, resource=RESOURCE, scope="mail:scan team:admin")
    assert greedy.status == 400 or "team:admin" not in greedy.json["scope"]
    again = await browser.token(**{**form, "client_secret": granted["access_token"]})
    assert (again.status, again.json["error"]) == (401, "invalid_client")


@pytest.mark.promise("rights.never-grow")
async def test_a_governing_key_that_is_narrowed_makes_nothing_wider(world: World) -> None:
    """By making a key, by replacing one, by labelling a mailbox into its reach."""
    narrow = await world.key("narrow-2", label_prefix="narrow-")
    told = {
        "no prefix": await ask(world, narrow, "POST", "/v1/team/keys", {"label": "wide"}),
        "another prefix": await ask(
            world,
            narrow,
            "POST",
            "/v1/team/keys",
            {"label": "narrow-x", "restrictions": {"label_prefix": "wide-"}},
        ),
        "replace": await ask(
            world, narrow, "POST", f"/v1/team/keys/{world.members[As.ADMIN].key_id}/rotate", {}
        ),
        "revoke": await ask(world, narrow, "DELETE", f"/v1/team/keys/{world.members[As.ADMIN].key_id}"),
        "label": await ask(
            world, narrow, "PATCH", f"/v1/mailboxes/{world.mailbox_id}", {"label": "narrow-m"}
        ),
    }
    assert {name: (status, reason_in(body)) for name, (status, body) in told.items()} == {
        "no prefix": (403, "RESTRICTION_LOOSENED"),
        "another prefix": (403, "RESTRICTION_LOOSENED"),
        "replace": (404, "KEY_NOT_FOUND"),
        "revoke": (404, "KEY_NOT_FOUND"),
        "label": (403, "MAILBOX_NOT_ALLOWED"),
    }
    status, made = await ask(world, narrow, "POST", "/v1/team/keys", {"label": "narrow-3"})
    assert (status, made["key"]["restrictions"]["label_prefix"]) == (201, "narrow-")
    await world.revoke(made["key"]["id"])


@pytest.mark.promise("teams.ids")
async def test_a_mailbox_of_ones_own_opens_no_subscription_of_another_team(world: World) -> None:
    """The ids are right, the team is not: nothing is asked for, and nothing of it is told."""
    other = world.members[As.OTHER_TEAM]
    body = {"subscription_ids": [world.subscription_id]}
    before = await world.state()
    status, told = await ask(
        world, other, "POST", f"/v1/mailboxes/{world.others_mailbox_id}/unsubscribes", body
    )
    if status == 202:
        await world.quiet()
        status, told = await ask(world, other, "GET", f"/v1/operations/{told['id']}")
        (outcome,) = told["unsubscribe"]["outcomes"]
        assert outcome["reason"] == "SUBSCRIPTION_NOT_FOUND", outcome
        assert not outcome["display_name"]
    else:
        assert (status, reason_in(told)) == (404, "SUBSCRIPTION_NOT_FOUND")
    after = await world.state()
    for table in ("subscriptions", "attempts", "label_changes"):
        assert after[f"mailwarden_mail.{table}"] == before[f"mailwarden_mail.{table}"]
    assert after["sandbox"] == before["sandbox"]


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize(
    "pattern", ["%", "_", "%%%", "k%", "key_created", "*", "key.%", "\\", "key.\\*", "**"]
)
async def test_wildcards_of_the_database_are_not_wildcards_of_a_filter(pattern: str, world: World) -> None:
    """Only a star at the end stands for any ending."""
    await world.spare_key()
    status, page = await ask(
        world, world.members[As.ADMIN], "GET", "/v1/audit?" + urlencode({"action": pattern})
    )
    if pattern == "*":
        assert (status, page["count"] > 0) == (200, True)
    elif status == 200:
        assert page["events"] == []
    else:
        assert status == 400


@pytest.mark.promise("rights.read-only")
async def test_a_read_only_key_reads_what_other_keys_of_its_team_made(world: World) -> None:
    """Rows belong to the team, not to the key that made them; and a revoked key orphans nothing."""
    maker, reader = await world.key("maker"), world.members[As.READ_ONLY]
    base = f"/v1/mailboxes/{world.mailbox_id}"
    status, operation = await ask(world, maker, "POST", f"{base}/scans", {"dry_run": True, "max_messages": 5})
    assert status == 202
    await world.quiet()
    await world.revoke(maker.key_id)
    assert (await ask(world, reader, "GET", f"/v1/operations/{operation['id']}"))[0] == 200
    status, listed = await ask(world, reader, "GET", f"{base}/subscriptions")
    assert (status, bool(listed["subscriptions"])) == (200, True)
    assert (await ask(world, reader, "GET", f"/v1/operations/{uuid.uuid4()}"))[0] == 404
