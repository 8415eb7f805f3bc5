"""Calls between two processes' halves over real sockets and real mutual TLS."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protos.mail.v1 import mail_pb2, mail_pb2_grpc, resources_pb2
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.common.context import Call, entered
from services.common.dispatch import Dispatcher
from services.common.errors import AppError, FieldError, Kind, invalid
from services.common.grpc_client import Channel
from services.common.grpc_server import GrpcServer, Service
from services.common.identity import PASSPORT_ISSUER, PASSPORT_TYPE, Caller, PassportVerifier, Restrictions
from services.common.tls import TlsFiles

KEY = Ed25519PrivateKey.generate()
ALL = frozenset({"mail:scan", "unsubscribe:read", "unsubscribe:execute", "availability:read"})


def passport(
    scopes: frozenset[str] = ALL,
    *,
    audience: str = "mail_core",
    typ: str = PASSPORT_TYPE,
    life_s: int = 60,
    key: Ed25519PrivateKey = KEY,
    restrictions: Restrictions = Restrictions(),
    **changes: Any,
) -> str:
    caller = Caller(
        "5d5f5c1e-0000-4000-8000-000000000001",
        "Team",
        "key:1",
        "1",
        "api_key",
        scopes,
        restrictions,
        roots=frozenset({"team:5d5f5c1e-0000-4000-8000-000000000001", "key:1"}),
    )
    now = int(time.time())
    claims = {**caller.to_claims(), "iss": PASSPORT_ISSUER, "aud": audience, "iat": now, "exp": now + life_s}
    return jwt.encode({**claims, **changes}, key, algorithm="EdDSA", headers={"typ": typ, "kid": "k1"})


class Handler:
    """Answers as the tests ask, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures: list[Exception] = []
        self.hold = asyncio.Event()
        self.callers: list[Caller] = []

    async def list_mailboxes(
        self, _: mail_pb2.ListMailboxesRequest, call: Call
    ) -> mail_pb2.ListMailboxesResponse:
        self.calls += 1
        self.callers.append(call.require_caller())
        if self.failures:
            raise self.failures.pop(0)
        return mail_pb2.ListMailboxesResponse(next_page_token=call.request_id)

    async def scan_mailbox(self, request: mail_pb2.ScanMailboxRequest, call: Call) -> resources_pb2.Operation:
        await self.hold.wait()
        return resources_pb2.Operation(id="1")

    async def watch_operation(
        self, request: mail_pb2.WatchOperationRequest, call: Call
    ) -> AsyncIterator[resources_pb2.Operation]:
        for number in range(3):
            yield resources_pb2.Operation(id=str(number))
        if self.failures:
            raise self.failures.pop(0)

    def __getattr__(self, name: str) -> Any:
        return self.list_mailboxes


class World:
    """A served mail core and ways to call it."""

    def __init__(self, tmp: Path) -> None:
        ensure_certificates(CertificateFolder(tmp), utc_now())
        self.folder = tmp
        self.handler = Handler()
        self.port = 0

    def tls(self, name: str) -> TlsFiles:
        return TlsFiles(self.folder / f"{name}.pem", self.folder / f"{name}.key", self.folder / "ca.pem")

    @asynccontextmanager
    async def serving(self, listen: str = "127.0.0.1:0") -> AsyncIterator[GrpcServer]:
        async def find(kid: str) -> Ed25519PublicKey | None:
            return KEY.public_key() if kid == "k1" else None

        dispatcher = Dispatcher("mail_core", PassportVerifier("mail_core", find))
        services = [Service(mail_pb2.DESCRIPTOR.services_by_name["MailService"], self.handler)]
        server = GrpcServer(dispatcher, self.tls("mail_core"), services)
        self.port = await server.start(listen)
        try:
            yield server
        finally:
            await server.stop(0)

    @asynccontextmanager
    async def stub(self, peer: str = "edge_rest") -> AsyncIterator[mail_pb2_grpc.MailServiceStub]:
        channel = Channel(f"127.0.0.1:{self.port}", "mail_core", self.tls(peer))
        try:
            yield mail_pb2_grpc.MailServiceStub(channel)
        finally:
            await channel.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    world = World(folder)
    async with world.serving(), asyncio.timeout(20):
        yield world


def working(token: str = "", timeout_s: float | None = None) -> Any:
    async def source(_: str) -> str:
        return token or passport()

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    return entered(Call(request_id="req-1", passport_for=source, deadline=deadline))


async def failure_of(world: World, token: str, peer: str = "edge_rest") -> AppError:
    async with world.stub(peer) as stub:
        with working(token), pytest.raises(AppError) as caught:
            await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    return caught.value


async def test_caller_and_request_id_arrive(world: World) -> None:
    """The handler sees who the passport names, and the edge's request id."""
    async with world.stub() as stub:
        with working():
            answer = await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    assert answer.next_page_token == "req-1"
    assert world.handler.callers[0].principal == "key:1"


BAD_PASSPORTS: Mapping[str, tuple[Callable[[], str], str]] = {
    "of another backend": (lambda: passport(audience="auth"), "PASSPORT_INVALID"),
    "another kind of token": (lambda: passport(typ="JWT"), "PASSPORT_INVALID"),
    "expired": (lambda: passport(life_s=-60), "PASSPORT_EXPIRED"),
    "forged by an edge": (lambda: passport(key=Ed25519PrivateKey.generate()), "PASSPORT_INVALID"),
    "of another issuer": (lambda: passport(iss="somebody"), "PASSPORT_INVALID"),
    "without a team": (lambda: passport(team=None), "PASSPORT_INVALID"),
    "too long": (lambda: "x" * 9_000, "PASSPORT_INVALID"),
    "not a token": (lambda: "a.b.c", "PASSPORT_INVALID"),
    "without the scope": (lambda: passport(frozenset({"unsubscribe:digest"})), "SCOPE_MISSING"),
}


@pytest.mark.promise("rights.scope", "rights.forgery")
@pytest.mark.parametrize("flaw", BAD_PASSPORTS)
async def test_bad_passport_is_refused_before_the_handler(world: World, flaw: str) -> None:
    """The backend checks by itself and the handler never runs."""
    make, reason = BAD_PASSPORTS[flaw]
    failure = await failure_of(world, make())
    assert failure.reason == reason
    assert world.handler.calls == 0


@pytest.mark.promise("rights.read-only")
async def test_read_only_credential_changes_nothing(world: World) -> None:
    """A mutating method refuses a read-only passport."""
    async with world.stub() as stub:
        with working(passport(restrictions=Restrictions(read_only=True))), pytest.raises(AppError) as caught:
            await stub.ScanMailbox(mail_pb2.ScanMailboxRequest())
    assert (caught.value.kind, caught.value.reason) == (Kind.PERMISSION_DENIED, "READ_ONLY")


@pytest.mark.promise("rights.peers")
async def test_peer_that_is_not_named_is_refused(world: World) -> None:
    """A valid certificate of the wrong service is not enough."""
    assert (await failure_of(world, passport(), peer="auth")).reason == "PEER_NOT_ALLOWED"


@pytest.mark.promise("rights.certificates")
async def test_client_without_certificate_is_refused(world: World) -> None:
    """The TLS handshake itself demands a client certificate."""
    credentials = grpc.ssl_channel_credentials((world.folder / "ca.pem").read_bytes())
    async with grpc.aio.secure_channel(f"127.0.0.1:{world.port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mail_pb2_grpc.MailServiceStub(channel).ListMailboxes(
                mail_pb2.ListMailboxesRequest(), timeout=5
            )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.promise("rights.certificates")
async def test_certificate_of_another_authority_is_refused(world: World, tmp_path: Path) -> None:
    """A self-made certificate with the right name does not connect."""
    ensure_certificates(CertificateFolder(tmp_path), utc_now())
    foreign = TlsFiles(tmp_path / "edge_rest.pem", tmp_path / "edge_rest.key", world.folder / "ca.pem")
    channel = Channel(f"127.0.0.1:{world.port}", "mail_core", foreign)
    with working(timeout_s=3), pytest.raises(AppError) as caught:
        await mail_pb2_grpc.MailServiceStub(channel).ListMailboxes(mail_pb2.ListMailboxesRequest())
    await channel.close()
    assert caught.value.kind in (Kind.UNAVAILABLE, Kind.DEADLINE_EXCEEDED)


async def test_error_crosses_the_wire_whole(world: World) -> None:
    """Kind, reason, message, retry and fields are the same on the other side."""
    sent = AppError(
        Kind.RESOURCE_EXHAUSTED,
        "GMAIL_QUOTA",
        "Later.",
        retry_after_s=2.5,
        fields=(FieldError("a.b", "X", "wrong"),),
        metadata={"scope": "s"},
    )
    world.handler.failures = [sent]
    got = await failure_of(world, passport())
    same = ("kind", "reason", "message", "retry_after_s", "fields", "metadata")
    assert {name: getattr(sent, name) for name in same} == {name: getattr(got, name) for name in same}


async def test_large_passport_and_large_error_always_arrive(world: World) -> None:
    """Far beyond gRPC's usual 8 KiB of metadata, where it begins to refuse at random, either way."""
    many = Restrictions(mailbox_ids=frozenset(f"5d5f5c1e-0000-4000-8000-{n:012d}" for n in range(100)))
    fields = tuple(FieldError(f"ids.{n}", "FIELD_TYPE_INVALID", "x" * 200) for n in range(50))
    world.handler.failures = [AppError(Kind.INVALID_ARGUMENT, "X_INVALID", "No.", fields=fields)] * 20
    async with world.stub() as stub:
        with working(passport(restrictions=many)):
            for _ in range(20):
                with pytest.raises(AppError) as caught:
                    await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
                assert caught.value.fields == fields
    assert world.handler.callers[0].restrictions == many


@pytest.mark.promise("errors.bare")
async def test_text_of_an_unexpected_exception_stays_inside(world: World) -> None:
    """The caller gets a bare internal error."""
    world.handler.failures = [KeyError("secret-value")]
    failure = await failure_of(world, passport())
    assert (failure.kind, failure.reason) == (Kind.INTERNAL, "INTERNAL")
    assert "secret-value" not in str(failure)


async def test_deadline_of_the_caller_ends_the_call(world: World) -> None:
    """A handler that hangs is cut off with a typed error."""
    async with world.stub() as stub:
        with working(timeout_s=0.3), pytest.raises(AppError) as caught:
            await stub.ScanMailbox(mail_pb2.ScanMailboxRequest())
    assert caught.value.kind is Kind.DEADLINE_EXCEEDED


async def test_repeatable_call_is_retried_while_the_backend_is_unavailable(world: World) -> None:
    """A read that meets UNAVAILABLE is tried again; the client sees only the answer."""
    down = AppError(Kind.UNAVAILABLE, "DATABASE_DOWN", "Later.")
    world.handler.failures = [down, down]
    async with world.stub() as stub:
        with working():
            await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    assert world.handler.calls == 3


async def test_stream_ends_with_its_error(world: World) -> None:
    """Answers before the failure arrive, then the typed error."""
    world.handler.failures = [invalid("PAGE_TOKEN_INVALID", "No.")]
    got = []
    async with world.stub() as stub:
        with working(), pytest.raises(AppError) as caught:
            async for operation in stub.WatchOperation(mail_pb2.WatchOperationRequest()):
                got.append(operation.id)
    assert (got, caught.value.reason) == (["0", "1", "2"], "PAGE_TOKEN_INVALID")


async def test_new_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    """Files replaced by a fresh authority's are picked up by the running server."""
    world = World(tmp_path)
    async with world.serving(), asyncio.timeout(20):
        async with world.stub() as stub:
            with working():
                await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
        for file in tmp_path.iterdir():
            file.unlink()
        ensure_certificates(CertificateFolder(tmp_path), utc_now())
        async with world.stub() as stub:
            with working():
                await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
    assert world.handler.calls == 2


@pytest.mark.promise("outages.heal")
async def test_restarted_backend_is_found_again(folder: Path) -> None:
    """The channel recovers by itself after its peer came back on the same port."""
    world = World(folder)
    async with asyncio.timeout(20):
        async with world.serving():
            channel = Channel(f"127.0.0.1:{world.port}", "mail_core", world.tls("edge_rest"))
            stub = mail_pb2_grpc.MailServiceStub(channel)
            with working():
                await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
        async with world.serving(f"127.0.0.1:{world.port}"):
            with working():
                await stub.ListMailboxes(mail_pb2.ListMailboxesRequest())
        await channel.close()
    assert world.handler.calls == 2
