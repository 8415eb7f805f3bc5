"""Real `python -m services.auth` processes, and clients that are the edges by their certificates."""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.cli.programs import Program, Running, announced_in, python, start
from services.common.context import Call, entered
from services.common.errors import AppError
from services.common.grpc_client import Channel
from services.common.tls import TlsFiles


def certificates_in(folder: Path) -> CertificateFolder:
    certificates = CertificateFolder(folder / "certs")
    ensure_certificates(certificates, utc_now())
    return certificates


@dataclass(slots=True)
class RunningAuth:
    """One process and the ways to it."""

    running: Running
    certificates: CertificateFolder
    log: Path
    stack: contextlib.AsyncExitStack
    channels: dict[str, Channel] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.running.addresses["grpc"]

    def channel(self, peer: str = "edge_rest") -> Channel:
        if peer not in self.channels:
            self.channels[peer] = self._channel(peer)
        return self.channels[peer]

    def _channel(self, peer: str) -> Channel:
        files = self.certificates.environment(peer)
        tls = TlsFiles(*(Path(files[name]) for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")))
        channel = Channel(self.address, "auth", tls)
        self.stack.push_async_callback(channel.close)
        return channel

    async def issue(
        self, *, peer: str = "edge_rest", audience: str = "mail_core", **credential: str
    ) -> auth_pb2.Passport:
        stub = auth_pb2_grpc.AuthServiceStub(self.channel(peer))
        request = auth_pb2.IssuePassportRequest(audience=audience, **credential)  # type: ignore[arg-type]
        return (await stub.IssuePassport(request)).passport

    async def refusal(self, **presented: Any) -> str:
        """The reason, or ACCEPTED."""
        try:
            await self.issue(**presented)
        except AppError as error:
            return error.reason
        return "ACCEPTED"

    async def create_key(self, **wanted: Any) -> auth_pb2.CreateApiKeyResponse:
        stub = auth_pb2_grpc.AuthAdminServiceStub(self.channel("cli"))
        return await stub.CreateApiKey(auth_pb2.CreateApiKeyRequest(**{"label": "test", **wanted}))

    async def me(self, passport: str, peer: str = "edge_rest") -> auth_pb2.Caller:
        async def passport_for(audience: str) -> str:
            del audience
            return passport

        stub = auth_pb2_grpc.AuthServiceStub(self.channel(peer))
        with entered(Call(request_id="test", deadline=time.monotonic() + 5, passport_for=passport_for)):
            return (await stub.GetMe(auth_pb2.GetMeRequest())).caller


def auth_program(folder: Path, database_url: str, settings: Mapping[str, str]) -> Program:
    """How to run auth with these settings and no others."""
    ready_file = folder / "auth.json"
    return Program(
        name="auth",
        command=python("-m", "services.auth"),
        environment={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path.cwd()),
            **certificates_in(folder).environment("auth"),
            "DATABASE_URL": database_url,
            "PASSPORT_KEY_FILE": str(folder / "passport.pem"),
            "READY_FILE": str(ready_file),
            "DRAIN_S": "3",
            **settings,
        },
        log=folder / "auth.log",
        probe=announced_in(ready_file),
    )


@contextlib.asynccontextmanager
async def running_auth(folder: Path, database_url: str, **settings: str) -> AsyncIterator[RunningAuth]:
    """Run auth while the block does. Raises Failure with its log when it does not start."""
    folder.mkdir(exist_ok=True)
    running = await start(auth_program(folder, database_url, settings))
    try:
        async with contextlib.AsyncExitStack() as stack:
            yield RunningAuth(running, certificates_in(folder), folder / "auth.log", stack)
    finally:
        await running.stop()
