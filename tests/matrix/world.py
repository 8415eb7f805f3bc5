"""Two teams on one running system, and every kind of caller: the world that the matrix is asked in."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jwt
import psycopg
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc import aio

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from protos.mail.v1 import mail_pb2, mail_pb2_grpc
from services.cli.folder import DataFolder
from services.cli.key_scopes import ADMIN_SCOPES
from services.cli.postgres import Cluster
from services.cli.provisioning import Credentials
from services.common.dispatch import PASSPORT_KEY
from services.common.grpc_client import Channel
from services.common.tls import TlsFiles
from tests.matrix.callers import As
from tests.matrix.rows import CLIENT_ID
from tests.matrix.ways import by_grpc
from tests.system import RunningSystem

_GET_ME = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["GetMe"]
_LIST_MAILBOXES = mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name["ListMailboxes"]
_FRESH_S = 40.0
"""A passport that was issued longer ago is not used again: it lives for 60 s."""
_UNTOLD = ("last_used_at", "last_use_at", "last_seen_at")
_NOT_STATE = ("audit_", "procrastinate_", "alembic_", "master_key")
"""Tables that a refusal may write to: it is recorded. And those in which processes say that they live."""


@dataclass(slots=True)
class Member:
    """A key of some team."""

    key_id: str
    secret: str


@dataclass(slots=True)
class _Issued:
    token: str
    at: float


@dataclass(slots=True)
class World:
    """What there is, and who may ask. Made once for all cells."""

    system: RunningSystem
    http: aiohttp.ClientSession
    certs: Path
    team_id: str = ""
    other_team_id: str = ""
    mailbox_id: str = ""
    subscription_id: str = ""
    operation_id: str = ""
    task_id: str = ""
    sandbox_token: str = ""
    members: dict[As, Member] = field(default_factory=dict)
    others_mailbox_id: str = ""
    _unscoped: dict[frozenset[str], Member] = field(default_factory=dict)
    _passports: dict[tuple[str, str], _Issued] = field(default_factory=dict)
    _revoked: tuple[dict[str, str], float] = field(default_factory=lambda: ({}, 0.0))
    _channels: dict[tuple[str, str], Channel] = field(default_factory=dict)
    _wires: dict[tuple[str, str], aio.Channel] = field(default_factory=dict)
    _databases: dict[str, psycopg.AsyncConnection[Any]] = field(default_factory=dict)

    # --- ways in

    def channel(self, service: str, peer: str) -> Channel:
        """A channel of ours to a backend, as this peer."""
        key = (service, peer)
        if key not in self._channels:
            self._channels[key] = Channel(self.system.backends[service], service, self.tls(peer))
        return self._channels[key]

    def wire(self, service: str, peer: str) -> aio.Channel:
        """A bare gRPC channel to a backend, as this peer: nothing retries, nothing adds metadata."""
        key = (service, peer)
        if key not in self._wires:
            credentials = self.tls(peer).channel_credentials()
            self._wires[key] = aio.secure_channel(self.system.backends[service], credentials)
        return self._wires[key]

    def bare_wire(self, service: str) -> aio.Channel:
        """A channel to a backend without a certificate of our own."""
        key = (service, "")
        if key not in self._wires:
            authority = grpc.ssl_channel_credentials((self.certs / "ca.pem").read_bytes())
            self._wires[key] = aio.secure_channel(self.system.backends[service], authority)
        return self._wires[key]

    @property
    def agent_wire(self) -> aio.Channel:
        """A channel to the A2A edge's gRPC binding."""
        if ("a2a", "") not in self._wires:
            self._wires["a2a", ""] = aio.insecure_channel(self.system.a2a_grpc)
        return self._wires["a2a", ""]

    def tls(self, peer: str) -> TlsFiles:
        """The files that make a client be this service."""
        return TlsFiles(self.certs / f"{peer}.pem", self.certs / f"{peer}.key", self.certs / "ca.pem")

    @property
    def operator(self) -> Any:
        """Auth, as an operator asks it."""
        return auth_pb2_grpc.AuthAdminServiceStub(self.channel("auth", "cli"))  # type: ignore[arg-type]

    # --- things and callers

    async def make(self) -> None:
        """Make both teams, their mailboxes, what a scan finds, and every caller."""
        async with self.http.get(f"{self.system.sandbox}/sandbox/token") as answer:
            self.sandbox_token = await answer.text()
        self.team_id, self.mailbox_id = await self._team("Ours")
        self.other_team_id, self.others_mailbox_id = await self._team("Theirs")
        self.members[As.ADMIN] = await self.key("admin")
        self.members[As.READ_ONLY] = await self.key("reader", read_only=True)
        self.members[As.NARROWED] = await self.key("elsewhere-1", label_prefix="elsewhere-")
        self.members[As.OTHER_TEAM] = await self.key("stranger", team_id=self.other_team_id)
        self.members[As.EXPIRED] = await self.key("expired")
        await self._expire(self.members[As.EXPIRED].key_id)
        self.members[As.REVOKED] = await self.key("revoked")
        await self.revoke(self.members[As.REVOKED].key_id)
        await self._scan()
        await self._task()

    async def spare_team(self, name: str) -> str:
        """Make a team without a mailbox."""
        return (await self.operator.CreateTeam(auth_pb2.CreateTeamRequest(name=name))).team.id

    async def spare_grant(self) -> str:
        """Make a grant of ours that nobody needs, as if a person had agreed to it."""
        connection, grant_id = await self.database("mailwarden_auth"), str(uuid.uuid4())
        await connection.execute(
            "INSERT INTO oauth_grants (id, team_id, client_id, client_name, principal, scopes, resource,"
            " created_at, expires_at) VALUES (%s, %s, %s, 'Matrix', %s, '{mail:scan}', 'https://mail.example',"
            " now(), now() + interval '1 day')",
            (grant_id, self.team_id, CLIENT_ID, f"key:{self.members[As.ADMIN].key_id}"),
        )
        return grant_id

    async def spare_key(self) -> str:
        """Make a key of ours that nobody needs."""
        return (await self.key("spare")).key_id

    async def key(
        self, label: str, *, team_id: str = "", scopes: Any = ADMIN_SCOPES, **narrowed: Any
    ) -> Member:
        """Make a key; of our team unless another is named."""
        request = auth_pb2.CreateApiKeyRequest(
            team_id=team_id or self.team_id,
            label=label,
            scopes=scopes,
            restrictions=auth_pb2.Restrictions(**narrowed),
        )
        made = await self.operator.CreateApiKey(request)
        return Member(made.key_id, made.secret)

    async def revoke(self, key_id: str) -> None:
        """Take a key of our team back."""
        request = auth_pb2.RevokeApiKeyRequest(team_id=self.team_id, key_id=key_id, force=True)
        await self.operator.RevokeApiKey(request)

    async def without(self, scopes: frozenset[str]) -> Member:
        """A key that holds every scope but these. Without a scope left there is no key: one of them stays."""
        if scopes not in self._unscoped:
            left = [scope for scope in ADMIN_SCOPES if scope not in scopes]
            self._unscoped[scopes] = await self.key("unscoped", scopes=left)
        return self._unscoped[scopes]

    async def prepare(self, scopes: frozenset[str]) -> None:
        """Make what the callers need, so that making it is not taken for what a call has changed."""
        connection = await self.database("mailwarden_auth")
        spent = "label IN ('made', 'spare') AND revoked_at IS NULL"  # the plan allows 50 keys
        await connection.execute(f"UPDATE api_keys SET revoked_at = now() WHERE {spent}")  # type: ignore[arg-type]
        await self.without(scopes)
        for service in ("auth", "mail_core"):
            await self._revoked_passport(service)

    async def credential(self, caller: As, scopes: frozenset[str] = frozenset()) -> Mapping[str, str]:
        """The headers by which a caller says who they are. `scopes` are those that the unscoped one lacks."""
        if caller is As.NOBODY:
            return {}
        if caller is As.WRONG_TYPE:  # a true passport, shown where a credential belongs
            return {"Authorization": f"Bearer {await self._passport(self.members[As.ADMIN], 'mail_core')}"}
        member = await self.without(scopes) if caller is As.UNSCOPED else self.members[caller]
        return {"X-API-Key": member.secret}

    async def passport(self, caller: As, service: str, scopes: frozenset[str] = frozenset()) -> str:
        """What a caller shows to a backend; empty for nothing."""
        if caller is As.NOBODY:
            return ""
        if caller is As.WRONG_TYPE:  # a true passport, for the other backend
            other = "auth" if service == "mail_core" else "mail_core"
            return await self._passport(self.members[As.ADMIN], other)
        if caller is As.EXPIRED:
            return self.forged(await self._passport(self.members[As.ADMIN], service), age_s=3_600)
        if caller is As.REVOKED:
            return await self._revoked_passport(service)
        member = await self.without(scopes) if caller is As.UNSCOPED else self.members[caller]
        return await self._passport(member, service)

    def forged(self, passport: str, *, age_s: float = 0.0, **changes: Any) -> str:
        """The passport as auth itself would have signed it with other claims: we hold auth's key."""
        pem = (self.system.data_dir / "secrets" / "passport.pem").read_bytes()
        header = jwt.get_unverified_header(passport)
        claims = jwt.decode(passport, options={"verify_signature": False})
        claims |= {"iat": claims["iat"] - int(age_s), "exp": claims["exp"] - int(age_s)} | changes
        key = load_pem_private_key(pem, None)
        return jwt.encode(
            claims, key, algorithm="EdDSA", headers={"typ": header["typ"], "kid": header["kid"]}
        )  # type: ignore[arg-type]

    # --- what is there

    async def state(self) -> Mapping[str, str]:
        """Every table of both databases as its count and a checksum, and what the sandbox was made to do."""
        found: dict[str, str] = {}
        for database in ("mailwarden_auth", "mailwarden_mail"):
            found |= await self._tables(database)
        async with self.http.get(f"{self.system.sandbox}/sandbox/summary") as answer:
            summary = await answer.json()
        del summary["quota"]
        return found | {"sandbox": json.dumps(summary, sort_keys=True)}

    async def quiet(self) -> None:
        """Wait until nothing is at work that an allowed call has started."""
        connection = await self.database("mailwarden_mail")
        query = "SELECT count(*) FROM operations WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
        async with asyncio.timeout(60):
            while (await (await connection.execute(query)).fetchone()) != (0,):
                await asyncio.sleep(0.05)

    @property
    def ours(self) -> frozenset[str]:
        """Ids that nobody but us may ever be shown."""
        keys = [self.members[caller].key_id for caller in (As.ADMIN, As.READ_ONLY)]
        things = (self.mailbox_id, self.subscription_id, self.operation_id, self.task_id)
        return frozenset({self.team_id, *things, *keys})

    async def close(self) -> None:
        """Close every connection."""
        for wire in self._wires.values():
            await wire.close()
        for channel in self._channels.values():
            await channel.close()
        for connection in self._databases.values():
            await connection.close()

    # --- how

    async def _team(self, name: str) -> tuple[str, str]:
        made = await self.operator.CreateTeam(auth_pb2.CreateTeamRequest(name=name, plan="enterprise"))
        stub = mail_pb2_grpc.MailAdminServiceStub(self.channel("mail_core", "cli"))  # type: ignore[arg-type]
        request = mail_pb2.ImportMailboxRequest(team_id=made.team.id, token_json=self.sandbox_token)
        return made.team.id, (await stub.ImportMailbox(request)).mailbox.id

    async def _scan(self) -> None:
        url, headers = f"{self.system.rest}/v1/mailboxes/me", await self.credential(As.ADMIN)
        async with self.http.post(f"{url}/scans", json={"max_messages": 60}, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            self.operation_id = (await answer.json())["id"]
        await self.quiet()
        async with self.http.get(f"{url}/subscriptions", headers=headers) as answer:
            self.subscription_id = (await answer.json())["subscriptions"][0]["id"]

    async def _task(self) -> None:
        """A task of the A2A edge that has ended."""
        data = {"action": "scan_mailbox", "dry_run": True, "max_messages": 5}
        message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"data": data}]}
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
        headers = {**await self.credential(As.ADMIN), "A2A-Version": "1.0"}
        async with self.http.post(f"{self.system.a2a}/a2a/rpc", json=call, headers=headers) as answer:
            task = (await answer.json())["result"]["task"]
        assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
        self.task_id = task["id"]

    async def _expire(self, key_id: str) -> None:
        connection = await self.database("mailwarden_auth")
        past = "created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
        await connection.execute(f"UPDATE api_keys SET {past} WHERE id = %s", (key_id,))  # type: ignore[arg-type]

    async def _passport(self, member: Member, service: str) -> str:
        held = self._passports.get((member.secret, service))
        if held is None or held.at < time.monotonic() - _FRESH_S:
            stub = auth_pb2_grpc.AuthServiceStub(self.channel("auth", "edge_rest"))  # type: ignore[arg-type]
            request = auth_pb2.IssuePassportRequest(api_key=member.secret, audience=service)
            held = _Issued((await stub.IssuePassport(request)).passport.token, time.monotonic())
            self._passports[member.secret, service] = held
        return held.token

    async def _revoked_passport(self, service: str) -> str:
        passports, made_at = self._revoked
        if made_at < time.monotonic() - _FRESH_S:
            member = await self.key("to be revoked")
            passports = {name: await self._passport(member, name) for name in ("auth", "mail_core")}
            await self.revoke(member.key_id)
            await self._await_refusal("auth", _GET_ME, passports["auth"])
            await self._await_refusal("mail_core", _LIST_MAILBOXES, passports["mail_core"])
            self._revoked = (passports, time.monotonic())
        return passports[service]

    async def _await_refusal(self, service: str, method: MethodDescriptor, passport: str) -> None:
        """Wait until a backend has heard of a revocation."""
        wire, request = self.wire(service, "edge_rest"), message_factory.GetMessageClass(method.input_type)()
        async with asyncio.timeout(30):
            while (await by_grpc(wire, method, request, {PASSPORT_KEY: passport})).reason == "OK":
                await asyncio.sleep(0.02)

    async def database(self, name: str) -> psycopg.AsyncConnection[Any]:
        """A connection of somebody who is above row-level security."""
        if name not in self._databases:
            folder = DataFolder.prepare(self.system.data_dir)
            password = Credentials(folder.secrets / "database.json").passwords()["postgres"]
            url = Cluster.at(folder.postgres, password).admin_url.replace("/postgres?", f"/{name}?")
            self._databases[name] = await psycopg.AsyncConnection.connect(url, autocommit=True)
        return self._databases[name]

    async def _tables(self, database: str) -> dict[str, str]:
        connection = await self.database(database)
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        names = [name for (name,) in await (await connection.execute(query)).fetchall()]
        names = [name for name in names if not name.startswith(_NOT_STATE)]
        untold = " - ".join(["to_jsonb(t)", *(f"'{column}'" for column in _UNTOLD)])
        checksum = f"coalesce(sum(hashtextextended(({untold})::text, 0)), 0)"
        told = [f"SELECT '{name}', count(*), {checksum} FROM {name} t" for name in names]
        rows = await (await connection.execute(" UNION ALL ".join(told))).fetchall()  # type: ignore[arg-type]
        return {f"{database}.{name}": f"{count} rows, {checksum}" for name, count, checksum in rows}
