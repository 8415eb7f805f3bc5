"""Every method that changes something leaves exactly one event, seen through the edge."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
import pytest

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.common.grpc_client import Channel
from services.common.policy import methods_of
from services.common.tls import TlsFiles
from tests.e2e.browser import Memory, browsing, oauth_client
from tests.system import RunningSystem

RECORDED = {
    "AuthAdminService.CreateApiKey": "key.created",
    "AuthAdminService.RotateApiKey": "key.rotated",
    "AuthAdminService.RevokeApiKey": "key.revoked",
    "AuthAdminService.CreateTeam": "team.created",
    "AuthAdminService.UpdateTeam": "team.updated",
    "AuthAdminService.RevokeTeamGrant": "grant.revoked",
    "AuthAdminService.RevokeTeamClient": "client.revoked",
    "AuthAdminService.RevokeTeamToken": "token.revoked",
    "TeamService.CreateKey": "key.created",
    "TeamService.RotateKey": "key.rotated",
    "TeamService.RevokeKey": "key.revoked",
    "TeamService.RevokeGrant": "grant.revoked",
    "TeamService.RevokeClient": "client.revoked",
    "TeamService.RevokeToken": "token.revoked",
    "MailService.ScanMailbox": "scan.requested",
    "MailService.Unsubscribe": "unsubscribe.requested",
    "MailService.CancelOperation": "operation.cancel_requested",
    "MailService.UpdateMailbox": "mailbox.labelled",
    "MailAdminService.ImportMailbox": "mailbox.imported",
}
"""The event of each method that changes something. The test below makes each of these calls once."""
SERVICES = ("auth", "mail_core", "edge_rest", "edge_mcp", "edge_a2a")
OF_NO_TEAM = {
    "MailAdminService.ResealSecrets": "secrets.resealed",
    "MailAdminService.RetireMasterKey": "secrets.key_retired",
    "AuthAdminService.BlockClient": "client.blocked",
    "AuthAdminService.UnblockClient": "client.unblocked",
}
"""The same, of what is recorded in the system's own chain."""
IS_THE_LOG = {"AuditService.AppendEvents"}
SCOPES = [
    "audit:read",
    "mail:scan",
    "team:admin",
    "team:read",
    "unsubscribe:execute",
    "unsubscribe:read",
]


def mutations() -> Iterator[str]:
    for file in (auth_pb2, mail_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from (
                f"{service.name}.{method.name}" for method, policy in methods_of(service) if policy.mutates
            )


def test_no_method_that_changes_something_is_without_its_event() -> None:
    """A new one is added above, with its call below, or the build fails."""
    assert set(mutations()) - IS_THE_LOG == {*RECORDED, *OF_NO_TEAM}


@dataclass
class Caller:
    """An operator by certificate, and a key that may do everything by REST."""

    system: RunningSystem
    admin: Any
    http: aiohttp.ClientSession
    made: Counter[str] = field(default_factory=Counter)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self.http.request(method, self.system.rest + path, json=body) as answer:
            assert answer.status < 300, await answer.text()
            return json.loads(await answer.read() or b"null")

    async def export(self, query: str = "") -> list[dict[str, Any]]:
        async with self.http.get(f"{self.system.rest}/v1/audit/export{query}") as answer:
            assert answer.status == 200, await answer.text()
            return [json.loads(line) async for line in answer.content]

    async def counts(self) -> Counter[str]:
        return Counter(event["action"] for event in await self.export())


@pytest.fixture
async def caller(system: RunningSystem) -> AsyncIterator[Caller]:
    certs = system.data_dir / "certs"
    tls = TlsFiles(certs / "cli.pem", certs / "cli.key", certs / "ca.pem")
    channel = Channel(system.backends["auth"], "auth", tls)
    admin = auth_pb2_grpc.AuthAdminServiceStub(channel)  # type: ignore[arg-type]
    made = await admin.CreateApiKey(auth_pb2.CreateApiKeyRequest(label="auditor", scopes=SCOPES))
    async with aiohttp.ClientSession(headers={"X-API-Key": made.secret}) as http:
        yield Caller(system, admin, http)
    await channel.close()


@pytest.mark.promise("once.audit")
async def test_every_mutation_leaves_exactly_one_event(caller: Caller) -> None:
    """Of teams and keys by operator and by REST, of mail through the outbox."""
    await scanned(caller)
    before = await caller.counts()
    other = await make_all(caller)
    expected = Counter(RECORDED.values()) - Counter(["team.created", "team.updated", "mailbox.imported"])
    # The log keeps the order: once the last thing is in it, so is all that came before.
    async with asyncio.timeout(40):
        while "unsubscribe.finished" not in (gained := await caller.counts() - before):
            await asyncio.sleep(0.2)
    assert {action: gained[action] for action in expected} == dict(expected)
    # Of one team each, made on its own: one event for its making and one for its change.
    verdicts = [each async for each in caller.admin.VerifyAudit(auth_pb2.VerifyAuditRequest(team_id=other))]
    assert [(each.intact, each.event_count) for each in verdicts] == [(True, 0), (True, 2)]
    assert [each.team_id for each in verdicts] == ["", other]
    assert verdicts[0].checkpoints.count >= 1
    # The mailbox was connected once, when the system started.
    assert (await caller.counts())["mailbox.imported"] == 1
    everything = [each async for each in caller.admin.VerifyAudit(auth_pb2.VerifyAuditRequest())]
    assert len(everything) > 1
    assert all(each.intact for each in everything)


async def scanned(caller: Caller) -> None:
    """Scan for real and wait until the log knows, so that there is something to unsubscribe from."""
    scan = await caller.ask("POST", "/v1/mailboxes/me/scans", {})
    async with asyncio.timeout(40):
        while not any(
            event["facts"].get("operation_id") == scan["id"]
            for event in await caller.export("?action=mailbox.scanned")
        ):
            await asyncio.sleep(0.2)


async def make_all(caller: Caller) -> str:
    """Make each call once; gives the id of the team that was made."""
    admin = caller.admin
    key = await admin.CreateApiKey(auth_pb2.CreateApiKeyRequest(label="one"))
    rotated = await admin.RotateApiKey(auth_pb2.RotateApiKeyRequest(key_id=key.key_id))
    await admin.RevokeApiKey(auth_pb2.RevokeApiKeyRequest(key_id=rotated.key.id))
    team = (await admin.CreateTeam(auth_pb2.CreateTeamRequest(name="Other"))).team
    await admin.UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team.id, plan="pro"))
    made = (await caller.ask("POST", "/v1/team/keys", {"label": "two"}))["key"]
    rotated = (await caller.ask("POST", f"/v1/team/keys/{made['id']}/rotate", {}))["key"]
    await caller.ask("DELETE", f"/v1/team/keys/{rotated['id']}")
    grant = await allowed(caller)
    await caller.ask("DELETE", f"/v1/team/grants/{grant['id']}")
    grant = await allowed(caller)
    await admin.RevokeTeamGrant(auth_pb2.RevokeTeamGrantRequest(grant_id=grant["id"]))
    grant = await allowed(caller)
    await caller.ask("POST", "/v1/team/clients/revoke", {"client_id": grant["client_id"]})
    grant = await allowed(caller)
    await admin.RevokeTeamClient(auth_pb2.RevokeTeamClientRequest(client_id=grant["client_id"]))
    await caller.ask("POST", "/v1/team/tokens/revoke", {"token_id": uuid.uuid4().hex})
    named = auth_pb2.RevokeTokenRequest(token_id=uuid.uuid4().hex)
    await admin.RevokeTeamToken(auth_pb2.RevokeTeamTokenRequest(team_id=DEFAULT_TEAM_ID, token=named))
    await caller.ask("PATCH", "/v1/mailboxes/me", {"label": "agents/all"})
    scan = await caller.ask("POST", "/v1/mailboxes/me/scans", {"dry_run": True})
    await caller.ask("POST", f"/v1/operations/{scan['id']}/cancel")
    subscriptions = (await caller.ask("GET", "/v1/mailboxes/me/subscriptions"))["subscriptions"]
    ids = [subscriptions[0]["id"]]
    await caller.ask("POST", "/v1/mailboxes/me/unsubscribes", {"subscription_ids": ids, "dry_run": True})
    return team.id


async def allowed(caller: Caller) -> dict[str, Any]:
    """Let a person allow something to a new client; gives the grant."""
    system = caller.system
    async with browsing(system.api_key) as person:
        auth = oauth_client(system.mcp, person, Memory())
        async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
            await http.post(system.mcp, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    return (await caller.ask("GET", "/v1/team/grants?page_size=1"))["grants"][0]


async def test_the_log_is_shown_in_the_shape_of_the_reference(caller: Caller) -> None:
    """Their names kept, ours beside them; pages by cursor, filters by action."""
    page = await caller.ask("GET", "/v1/audit?limit=1&action=key.*")
    assert set(page) == {"events", "count", "hasMore", "nextBefore", "policies"}
    assert page["policies"] == {"auditRetentionDays": 90}
    event = page["events"][0]
    assert {"id", "action", "resourceType", "resourceId", "apiKeyHint", "meta", "createdAt"} <= set(event)
    assert (event["action"], event["resourceType"], event["actor"]) == ("key.created", "key", "operator")
    made = (await caller.ask("POST", "/v1/team/keys", {"label": "hinted", "ttl_minutes": 5}))["key"]
    [event] = (await caller.ask("GET", "/v1/audit?limit=1&action=key.created"))["events"]
    [own] = [key for key in (await caller.ask("GET", "/v1/team/keys"))["keys"] if key["current"]]
    assert (event["resourceId"], event["apiKeyHint"]) == (made["id"], own["hint"])
    await caller.admin.CreateApiKey(auth_pb2.CreateApiKeyRequest(label="next"))
    if page["hasMore"]:
        older = await caller.ask("GET", f"/v1/audit?limit=5&before={page['nextBefore']}")
        assert event["id"] not in [each["id"] for each in older["events"]]


async def mailwarden(system: RunningSystem, *words: str) -> bytes:
    """Use the command line, as an operator by certificate."""
    command = [sys.executable, "-m", "services.cli", *words, "--data-dir", str(system.data_dir)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def exported(system: RunningSystem, *options: str) -> list[dict[str, Any]]:
    lines = await mailwarden(system, "audit", "export", *options)
    return [json.loads(line) for line in lines.splitlines()]


async def test_that_secrets_were_sealed_anew_is_in_the_systems_chain(caller: Caller) -> None:
    """With how many: at least the grant of the one mailbox."""
    await mailwarden(caller.system, "secrets", "rotate")
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(40):
        while not events:
            events = await exported(caller.system, "--action", "secrets.*")
    assert {event["action"] for event in events} == {"secrets.resealed"}
    assert sum(int(event["facts"]["count"]) for event in events) >= 1
    changed: list[dict[str, Any]] = []
    async with asyncio.timeout(40):
        while not changed:
            changed = await exported(caller.system, "--action", "keys.changed")
    assert [(event["edge"], event["facts"]["kind"]) for event in changed] == [("mail_core", "master_key")]


async def test_how_services_were_configured_is_in_the_log_without_a_value(caller: Caller) -> None:
    """Which settings were set and one digest, in the chain of what belongs to no team."""
    facts: dict[str, dict[str, str]] = {}
    async with asyncio.timeout(60):
        while set(facts) != {f"service:{name}" for name in SERVICES}:
            events = await exported(caller.system, "--action", "service.configured")
            facts = {event["resource"]: event["facts"] for event in events}
    for told in facts.values():
        assert "TLS_KEY_FILE" in told["settings"].split()
        assert set(told) == {"mode", "settings", "settings_digest"}


async def test_the_operator_reads_the_log_of_any_team(caller: Caller) -> None:
    """The same lines that the team reads."""
    team_id = (await caller.ask("GET", "/v1/me"))["caller"]["team"]["id"]
    own = await caller.export("?action=key.*")
    assert await exported(caller.system, "--team", team_id, "--action", "key.*") == own


async def test_denials_are_in_the_log(caller: Caller) -> None:
    """A key without the scope, and a read-only one: refused by the core, and said so."""
    weak = await caller.admin.CreateApiKey(
        auth_pb2.CreateApiKeyRequest(label="weak", scopes=["unsubscribe:read"])
    )
    url = f"{caller.system.rest}/v1/mailboxes/me/scans"
    async with aiohttp.ClientSession(headers={"X-API-Key": weak.secret}) as http:
        assert (await http.post(url, json={})).status == 403
        assert (await http.get(f"{caller.system.rest}/v1/audit")).status == 403
    async with asyncio.timeout(20):
        while True:
            denied = await caller.export("?outcome=denied&action=access.denied")
            routes = {event["facts"]["route"] for event in denied if weak.key_id in event["actor"]}
            if {"mail.ScanMailbox", "auth.ListEvents"} <= routes:
                return
            await asyncio.sleep(0.2)
