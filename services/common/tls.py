"""Certificates of one process: read from files, read again when the files change."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from services.common.settings import TlsSettings

SPIFFE_PREFIX: Final = "spiffe://mailwarden/"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a process finds its certificate, its key and the authority that it trusts. All PEM."""

    cert_file: Path
    key_file: Path
    ca_file: Path

    @classmethod
    def of(cls, settings: TlsSettings) -> "TlsFiles":
        """Take the three paths from settings."""
        return cls(settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file)

    def fingerprint(self) -> tuple[int, ...]:
        """Say when the files last changed; a different answer means a new certificate."""
        return tuple(path.stat().st_mtime_ns for path in (self.cert_file, self.key_file, self.ca_file))

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Read the files into credentials for a client."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_file.read_bytes(),
            private_key=self.key_file.read_bytes(),
            certificate_chain=self.cert_file.read_bytes(),
        )

    def server_credentials(self) -> grpc.ServerCredentials:
        """Make server credentials that demand a client certificate and follow the files."""
        seen = [self.fingerprint()]

        def configuration() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration(
                [(self.key_file.read_bytes(), self.cert_file.read_bytes())], self.ca_file.read_bytes()
            )

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            now = self.fingerprint()
            if now == seen[0]:
                return None
            seen[0] = now
            return configuration()

        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            renewed,  # pyright: ignore[reportArgumentType]
            require_client_authentication=True,
        )


def peer_name(identities: Iterable[bytes]) -> str:
    """Find the service name in the URI SANs of a verified peer; empty when there is none of ours."""
    for identity in identities:
        text = identity.decode("utf-8", "replace")
        if text.startswith(SPIFFE_PREFIX):
            return text.removeprefix(SPIFFE_PREFIX)
    return ""
