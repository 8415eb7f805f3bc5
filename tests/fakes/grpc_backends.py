"""An auth service and a mail core in this process, behind real gRPC, real mutual TLS and the real dispatcher.

For tests of the edges: what an edge sends is recorded, what it gets back is set by the test, and
passports, scopes, peers and errors are checked and carried by the same code as in the real services.

    async with running_backends(folder) as backends:
        backends.auth.admit("some-key", scopes=["mail:scan"])
        ...an edge with backends.environment("edge_rest")...
        assert backends.mail.requests == [...]
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2, resources_pb2
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.common.context import Call
from services.common.dispatch import Dispatcher
from services.common.errors import AppError, invalid, not_found, unauthenticated
from services.common.grpc_server import GrpcServer, Service
from services.common.identity import (
    PASSPORT_ISSUER,
    PASSPORT_TYPE,
    Caller,
    Limits,
    PassportVerifier,
    Restrictions,
    team_root,
)
from services.common.tls import TlsFiles
from services.common.tracing import Trace, current_trace
from tests.fakes.teams import FakeTeams

M = TypeVar("M", bound=Message)

ALL_SCOPES = (
    "audit:read",
    "availability:read",
    "available_meeting_intervals:read",
    "mail:scan",
    "team:admin",
    "team:read",
    "unsubscribe:digest",
    "unsubscribe:execute",
    "unsubscribe:read",
)
API_KEY = "ma_test-key-with-every-scope"
TEAM_ID = "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"
MAILBOX_ID = "6f1c2a34-8f0e-4d0b-9a53-0d4a5f1b7c21"
SUBSCRIPTION_IDS = ("b7d0c1e2-4a3f-4c55-8e1d-2f9a6b3c4d5e", "c8e1d2f3-5b40-4d66-9f2e-30ab7c4d5e6f")
_KEY_ID = "test-signing-key"
_UNRESTRICTED = Restrictions()
PLENTY = Limits(1_000_000, 1_000_000, 1_000, 1_000, 1_000)
NOON = 1_773_144_000  # 2026-03-10T12:00:00Z


class FakeAuth:
    """Knows the credentials that the test has admitted; any other is CREDENTIAL_INVALID."""

    def __init__(self) -> None:
        self.failure: AppError | None = None
        """Raised by every exchange of a credential while it is set."""
        self.exchanges: list[str] = []
        """Credentials in the order in which they were exchanged."""
        self._callers: dict[str, Caller] = {}
        self._refusals: dict[str, AppError] = {}
        self._revoked: list[tuple[str, Timestamp]] = []
        self._has_revoked = asyncio.Event()
        self._key = Ed25519PrivateKey.generate()
        self.admit(API_KEY)

    def reset(self) -> None:
        """Forget what a test has set and sent. Passports that an edge holds live on."""
        self.failure = None
        self.exchanges.clear()

    def admit(
        self,
        secret: str,
        *,
        scopes: Collection[str] = ALL_SCOPES,
        restrictions: Restrictions = _UNRESTRICTED,
        team_id: str = TEAM_ID,
        limits: Limits = PLENTY,
    ) -> None:
        """Let a credential in from now on."""
        kind = "jwt" if secret.count(".") == 2 else "access_token" if secret[:4] == "mat_" else "api_key"
        self._callers[secret] = Caller(
            team_id,
            "default",
            f"key:{secret[:8]}",
            secret[:8],
            kind,
            frozenset(scopes),
            restrictions,
            roots=frozenset({team_root(team_id), f"key:{secret[:8]}"}),
            limits=limits,
        )

    def refuse(self, secret: str, reason: str) -> None:
        """Refuse a credential from now on, for example as TOKEN_EXPIRED."""
        self._callers.pop(secret, None)
        self._refusals[secret] = unauthenticated(reason, "The credential cannot be accepted.")

    async def find_key(self, key_id: str) -> Any:
        """Give the public key that passports are checked with."""
        return self._key.public_key() if key_id == _KEY_ID else None

    async def issue_passport(
        self, request: auth_pb2.IssuePassportRequest, _call: Call
    ) -> auth_pb2.IssuePassportResponse:
        secret = request.api_key or request.bearer
        self.exchanges.append(secret)
        if self.failure:
            raise self.failure
        if secret not in self._callers:
            raise self._refusals.get(secret) or unauthenticated("CREDENTIAL_INVALID", "Not known here.")
        caller = self._callers[secret]
        expires_at = int(time.time()) + 60
        return auth_pb2.IssuePassportResponse(
            passport=auth_pb2.Passport(
                token=self._passport(caller, request.audience, expires_at),
                expire_time=Timestamp(seconds=expires_at),
                caller=_to_proto(caller),
            )
        )

    def _passport(self, caller: Caller, audience: str, expires_at: int) -> str:
        life = {"iss": PASSPORT_ISSUER, "aud": audience, "iat": expires_at - 60, "exp": expires_at}
        return jwt.encode(
            {**caller.to_claims(), **life}, self._key, "EdDSA", headers={"typ": PASSPORT_TYPE, "kid": _KEY_ID}
        )

    async def list_passport_keys(
        self, _request: auth_pb2.ListPassportKeysRequest, _call: Call
    ) -> auth_pb2.ListPassportKeysResponse:
        return auth_pb2.ListPassportKeysResponse(jwks_json='{"keys":[]}')

    def revoke(self, subject: str) -> None:
        """Tell every edge that follows."""
        now = time.time()
        self._revoked.append((subject, Timestamp(seconds=int(now), nanos=int(now % 1 * 1e9))))
        self._has_revoked.set()

    async def watch_revocations(
        self, request: auth_pb2.WatchRevocationsRequest, _call: Call
    ) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        cursor = int(request.cursor or 0)
        while True:
            self._has_revoked.clear()
            for subject, at in self._revoked[cursor:]:
                cursor += 1
                yield auth_pb2.WatchRevocationsResponse(subject=subject, revoke_time=at, cursor=str(cursor))
            yield auth_pb2.WatchRevocationsResponse(cursor=str(cursor))
            await self._has_revoked.wait()

    async def check_right(
        self, request: auth_pb2.CheckRightRequest, _call: Call
    ) -> auth_pb2.CheckRightResponse:
        lost = not {subject for subject, _ in self._revoked}.isdisjoint(request.roots)
        state = auth_pb2.RIGHT_STATE_REVOKED if lost else auth_pb2.RIGHT_STATE_STANDS
        return auth_pb2.CheckRightResponse(state=state)

    async def get_me(self, _request: auth_pb2.GetMeRequest, call: Call) -> auth_pb2.GetMeResponse:
        return auth_pb2.GetMeResponse(caller=_to_proto(call.require_caller()))


def _to_proto(caller: Caller) -> auth_pb2.Caller:
    limits = caller.restrictions
    return auth_pb2.Caller(
        team=auth_pb2.Team(
            id=caller.team_id, name=caller.team_name, limits=auth_pb2.Limits(**asdict(caller.limits))
        ),
        roots=sorted(caller.roots),
        principal=caller.principal,
        key_id=caller.key_id,
        credential_kind=auth_pb2.CredentialKind.Value(f"CREDENTIAL_KIND_{caller.credential_kind.upper()}"),
        scopes=sorted(caller.scopes),
        restrictions=auth_pb2.Restrictions(
            read_only=limits.read_only,
            label_prefix=limits.label_prefix,
            mailbox_ids=sorted(limits.mailbox_ids),
        ),
    )


class FakeAudit:
    """Keeps what it is sent; shows one event."""

    def __init__(self) -> None:
        self.appended: list[auth_pb2.TeamEvent] = []
        self.requests: list[Message] = []
        self.failure: AppError | None = None

    async def list_events(self, request: auth_pb2.ListEventsRequest, _call: Call) -> Any:
        self.requests.append(request)
        return auth_pb2.ListEventsResponse(events=[_audited()], next_page_token="1", retention_days=90)

    async def export_events(self, request: auth_pb2.ExportEventsRequest, _call: Call) -> AsyncIterator[Any]:
        self.requests.append(request)
        for _ in range(3):
            yield auth_pb2.ExportEventsResponse(event=_audited())
        if self.failure is not None:
            raise self.failure

    async def append_events(self, request: auth_pb2.AppendEventsRequest, _call: Call) -> Any:
        if self.failure is not None:
            raise self.failure
        self.appended += request.events
        return auth_pb2.AppendEventsResponse(appended_count=len(request.events))


def _audited() -> auth_pb2.AuditEvent:
    return auth_pb2.AuditEvent(
        id=str(uuid.uuid4()),
        sequence=1,
        event_time=Timestamp(seconds=NOON, nanos=123_456_000),
        action="key.created",
        resource="key:9c4e1f20-1a2b-4c3d-8e5f-60718293a4b5",
        actor="operator",
        credential="key:9c4e1f20-1a2b-4c3d-8e5f-60718293a4b5",
        outcome="ok",
        facts={"kind": "api_key"},
        hash="00" * 32,
    )


class FakeMailCore:
    """Answers every RPC: with what the test put into `answers` or `failures`, else with something sensible.

    Both are keyed by the name of the RPC, for example `ListSubscriptions`. Operations run when they are
    watched or asked for, and stay in `running` while `may_finish` is cleared; nothing at all is answered
    while `may_answer` is cleared.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Message] = {}
        self.failures: dict[str, Exception] = {}
        self.requests: list[Message] = []
        self.calls: list[Call] = []
        self.traces: list[Trace | None] = []
        self.operations: dict[str, resources_pb2.Operation] = {}
        self.has_been_asked, self.may_answer, self.may_finish = (asyncio.Event() for _ in range(3))
        self.may_answer.set()
        self.may_finish.set()

    def reset(self) -> None:
        """Forget what a test has set and sent."""
        for kept in (self.answers, self.failures, self.requests, self.calls, self.traces, self.operations):
            kept.clear()
        self.has_been_asked.clear()
        self.may_answer.set()
        self.may_finish.set()

    def last(self, kind: type[M]) -> M:
        """The last request, which has to be of a kind."""
        assert isinstance(self.requests[-1], kind), self.requests
        return self.requests[-1]

    async def list_mailboxes(self, request: Any, call: Call) -> Any:
        mailbox = resources_pb2.Mailbox(
            id=MAILBOX_ID,
            email_address="owner@example.com",
            state=resources_pb2.MAILBOX_STATE_ACTIVE,
            create_time=Timestamp(seconds=NOON),
        )
        return await self._answer(
            "ListMailboxes", request, call, mail_pb2.ListMailboxesResponse(mailboxes=[mailbox])
        )

    async def update_mailbox(self, request: mail_pb2.UpdateMailboxRequest, call: Call) -> Any:
        self._require_mailbox(request.mailbox_id)
        mailbox = resources_pb2.Mailbox(id=MAILBOX_ID, email_address="owner@example.com", label=request.label)
        return await self._answer("UpdateMailbox", request, call, mailbox)

    async def scan_mailbox(self, request: mail_pb2.ScanMailboxRequest, call: Call) -> Any:
        self._require_mailbox(request.mailbox_id)
        operation = self._operation(resources_pb2.OPERATION_KIND_SCAN, request.request_id)
        return await self._answer("ScanMailbox", request, call, operation)

    async def list_subscriptions(self, request: mail_pb2.ListSubscriptionsRequest, call: Call) -> Any:
        self._require_mailbox(request.mailbox_id)
        rows = [_subscription(subscription_id) for subscription_id in SUBSCRIPTION_IDS]
        answer = mail_pb2.ListSubscriptionsResponse(subscriptions=rows, total_size=len(rows))
        return await self._answer("ListSubscriptions", request, call, answer)

    async def unsubscribe(self, request: mail_pb2.UnsubscribeRequest, call: Call) -> Any:
        self._require_mailbox(request.mailbox_id)
        operation = self._operation(resources_pb2.OPERATION_KIND_UNSUBSCRIBE, request.request_id)
        return await self._answer("Unsubscribe", request, call, operation)

    async def list_unsubscribes(self, request: mail_pb2.ListUnsubscribesRequest, call: Call) -> Any:
        self._require_mailbox(request.mailbox_id)
        attempt = resources_pb2.UnsubscribeAttempt(
            id=str(uuid.uuid4()),
            subscription_id=SUBSCRIPTION_IDS[0],
            state=resources_pb2.SUBSCRIPTION_STATE_ACCEPTED,
            method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK,
            reason="ONE_CLICK_ACCEPTED",
            http_status=200,
            create_time=Timestamp(seconds=NOON),
        )
        answer = mail_pb2.ListUnsubscribesResponse(attempts=[attempt])
        return await self._answer("ListUnsubscribes", request, call, answer)

    async def check_availability(self, request: mail_pb2.CheckAvailabilityRequest, call: Call) -> Any:
        window = resources_pb2.Interval(start_time=request.start_time, end_time=request.end_time)
        answer = mail_pb2.CheckAvailabilityResponse(available=True, window=window)
        return await self._answer("CheckAvailability", request, call, answer)

    async def suggest_meeting_intervals(
        self, request: mail_pb2.SuggestMeetingIntervalsRequest, call: Call
    ) -> Any:
        end = Timestamp(seconds=request.start_time.seconds + 1_800)
        interval = resources_pb2.Interval(start_time=request.start_time, end_time=end)
        answer = mail_pb2.SuggestMeetingIntervalsResponse(
            intervals=[interval], time_zone=request.time_zone or "UTC"
        )
        return await self._answer("SuggestMeetingIntervals", request, call, answer)

    async def get_operation(self, request: mail_pb2.GetOperationRequest, call: Call) -> Any:
        operation = self._find(request.id or self._id_of(request.request_id))
        if operation.state == resources_pb2.OPERATION_STATE_QUEUED and self.may_finish.is_set():
            _finish(operation)
        return await self._answer("GetOperation", request, call, operation)

    async def cancel_operation(self, request: mail_pb2.CancelOperationRequest, call: Call) -> Any:
        operation = self._find(request.id)
        operation.state = resources_pb2.OPERATION_STATE_CANCELLED
        self.may_finish.set()
        return await self._answer("CancelOperation", request, call, operation)

    async def watch_operation(
        self, request: mail_pb2.WatchOperationRequest, call: Call
    ) -> AsyncIterator[resources_pb2.Operation]:
        operation = self._find(request.id)
        yield await self._answer("WatchOperation", request, call, _copy(operation))
        if operation.state == resources_pb2.OPERATION_STATE_QUEUED:
            operation.state = resources_pb2.OPERATION_STATE_RUNNING
            operation.progress.MergeFrom(resources_pb2.Progress(done=1, total=2, phase="fetching"))
            operation.update_time.seconds += 1
            yield _copy(operation)
        if operation.state == resources_pb2.OPERATION_STATE_RUNNING:
            await self.may_finish.wait()
            if operation.state == resources_pb2.OPERATION_STATE_RUNNING:
                _finish(operation)
            yield _copy(operation)

    async def _answer(self, rpc: str, request: Message, call: Call, answer: Message) -> Message:
        self.requests.append(request)
        self.calls.append(call)
        self.traces.append(current_trace())
        self.has_been_asked.set()
        await self.may_answer.wait()
        _check_limits(request)
        if rpc in self.failures:
            raise self.failures[rpc]
        return self.answers.get(rpc, answer)

    def _require_mailbox(self, mailbox_id: str) -> None:
        if mailbox_id not in ("", "me", MAILBOX_ID):
            raise not_found("MAILBOX_NOT_FOUND", "There is no such mailbox.")

    def _operation(self, kind: resources_pb2.OperationKind, request_id: str) -> resources_pb2.Operation:
        for known in self.operations.values():
            if request_id and known.request_id == request_id:
                return known
        made = resources_pb2.Operation(
            id=str(uuid.uuid4()),
            kind=kind,
            state=resources_pb2.OPERATION_STATE_QUEUED,
            mailbox_id=MAILBOX_ID,
            create_time=Timestamp(seconds=NOON),
            update_time=Timestamp(seconds=NOON),
            request_id=request_id,
        )
        self.operations[made.id] = made
        return made

    def _id_of(self, request_id: str) -> str:
        known = (o.id for o in self.operations.values() if request_id and o.request_id == request_id)
        return next(known, "")

    def _find(self, operation_id: str) -> resources_pb2.Operation:
        if operation_id not in self.operations:
            raise not_found("OPERATION_NOT_FOUND", "There is no such operation.")
        return self.operations[operation_id]


def _check_limits(request: Any) -> None:
    """Hold to the limits that the contract names, as far as an edge could be tempted to check them itself."""
    if len(getattr(request, "request_id", "")) > 128:
        raise invalid("REQUEST_ID_INVALID", "At most 128 characters.")
    if not 0 <= getattr(request, "page_size", 0) <= 200:
        raise invalid("PAGE_SIZE_OUT_OF_RANGE", "At most 200.")
    if getattr(request, "max_messages", 0) > 50_000:
        raise invalid("MAX_MESSAGES_OUT_OF_RANGE", "At most 50,000.")


def _subscription(subscription_id: str) -> resources_pb2.Subscription:
    return resources_pb2.Subscription(
        id=subscription_id,
        mailbox_id=MAILBOX_ID,
        key_kind=resources_pb2.SUBSCRIPTION_KEY_KIND_LIST_ID,
        key="weekly.news.example.com",
        display_name="Weekly News",
        sender="news@example.com",
        message_count=48,
        last_seen_time=Timestamp(seconds=NOON),
        category="ADVERTISING",
        state=resources_pb2.SUBSCRIPTION_STATE_CANDIDATE,
        method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK,
        method_reason="ONE_CLICK_QUALIFIED",
        method_explanation="The sender offers one-click unsubscribing and signed the offer.",
    )


def _finish(operation: resources_pb2.Operation) -> None:
    operation.state = resources_pb2.OPERATION_STATE_SUCCEEDED
    operation.update_time.seconds += 1
    operation.progress.CopyFrom(resources_pb2.Progress(done=2, total=2, phase="labelling"))
    if operation.kind == resources_pb2.OPERATION_KIND_SCAN:
        operation.scan.CopyFrom(
            resources_pb2.ScanReport(listed_count=2, scanned_count=2, subscription_count=2)
        )
    else:
        outcome = resources_pb2.UnsubscribeOutcome(
            subscription_id=SUBSCRIPTION_IDS[0],
            display_name="Weekly News",
            state=resources_pb2.SUBSCRIPTION_STATE_ACCEPTED,
            method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK,
            reason="ONE_CLICK_ACCEPTED",
        )
        operation.unsubscribe.CopyFrom(resources_pb2.UnsubscribeReport(outcomes=[outcome]))


def _copy(operation: resources_pb2.Operation) -> resources_pb2.Operation:
    copied = resources_pb2.Operation()
    copied.CopyFrom(operation)
    return copied


@dataclass(slots=True)
class Backends:
    """Both services, and how to reach them. `stop_mail` and `start_mail` are an outage."""

    auth: FakeAuth
    mail: FakeMailCore
    certificates: CertificateFolder
    auth_address: str = ""
    mail_address: str = ""
    audit: FakeAudit = field(default_factory=FakeAudit)
    teams: FakeTeams = field(default_factory=FakeTeams)
    _servers: dict[str, GrpcServer] = field(default_factory=dict)

    def tls(self, service: str) -> TlsFiles:
        """Certificate files that let the test be `service`."""
        folder = self.certificates.path
        return TlsFiles(
            folder / f"{service}.pem", folder / f"{service}.key", self.certificates.authority_file
        )

    def environment(self, service: str) -> dict[str, str]:
        """Environment of an edge's settings."""
        return {
            **self.certificates.environment(service),
            "AUTH_ADDRESS": self.auth_address,
            "MAIL_CORE_ADDRESS": self.mail_address,
        }

    async def start_auth(self) -> None:
        """Serve auth, on the same port as before when there was one."""
        described = auth_pb2.DESCRIPTOR.services_by_name
        services = [
            Service(described["AuthService"], self.auth),
            Service(described["AuditService"], self.audit),
            Service(described["TeamService"], self.teams),
        ]
        self.auth_address = await self._start("auth", services, self.auth_address)

    async def start_mail(self) -> None:
        """Serve the mail core, on the same port as before when there was one."""
        descriptor = mail_pb2.DESCRIPTOR.services_by_name["MailService"]
        services = [Service(descriptor, self.mail)]
        self.mail_address = await self._start("mail_core", services, self.mail_address)

    async def stop_auth(self) -> None:
        """Let auth go away."""
        await self._servers.pop("auth").stop(0)

    async def stop_mail(self) -> None:
        """Let the mail core go away in the middle of whatever it does."""
        await self._servers.pop("mail_core").stop(0)

    async def stop(self) -> None:
        """Stop what is running."""
        await asyncio.gather(*(server.stop(0) for server in self._servers.values()))

    async def _start(self, name: str, services: list[Service], address: str) -> str:
        dispatcher = Dispatcher(name, PassportVerifier(name, self.auth.find_key))
        server = GrpcServer(dispatcher, self.tls(name), services)
        port = await server.start(address or "127.0.0.1:0")
        await server.set_serving(True)
        self._servers[name] = server
        return f"127.0.0.1:{port}"


@asynccontextmanager
async def running_backends(folder: Path) -> AsyncIterator[Backends]:
    """Run both services inside the block. Certificates in `folder` are kept when they are there."""
    certificates = CertificateFolder(folder)
    ensure_certificates(certificates, utc_now())
    backends = Backends(FakeAuth(), FakeMailCore(), certificates)
    await backends.start_auth()
    await backends.start_mail()
    try:
        yield backends
    finally:
        await backends.stop()
