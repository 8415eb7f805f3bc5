"""TLS: internal ports hear nobody without a certificate of our authority, and none is about to end."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now
from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.target import Target
from services.common.lifecycle import split_address

_TIMEOUT_S: Final = 5.0
_WARN: Final = timedelta(days=21)
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""What a client of HTTP/2 says first, with an empty SETTINGS frame (RFC 9113 §3.4)."""
_SETTINGS_TYPE: Final = 4
_FRAME_HEAD_BYTES: Final = 9


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Knock at each internal port in every wrong way, and read certificates' ends."""
    ports = {"auth": target.operator.auth_address, "mail_core": target.operator.mail_core_address}
    with tempfile.TemporaryDirectory() as folder:
        foreign = CertificateFolder(Path(folder) / "foreign")
        ensure_certificates(foreign, utc_now(), ("cli",))
        for name, address in ports.items():
            yield await at_port(f"tls.{name}", address, target, foreign)
            yield await _end_of_server(f"tls.{name}.certificate", address, target)
    yield _files(target)


async def at_port(name: str, address: str, target: Target, foreign: CertificateFolder) -> Finding:
    """See that only a certificate of ours is heard."""
    tls = target.operator.tls
    ours = _context(tls.ca_file, tls.cert_file, tls.key_file)
    strangers = _context(tls.ca_file, foreign.path / "cli.pem", foreign.path / "cli.key")
    ways = {
        "plain text": None,
        "no certificate": _context(tls.ca_file),
        "a certificate of another authority": strangers,
    }
    problems = [f"{address} hears {way}" for way, context in ways.items() if await hears(address, context)]
    if not await hears(address, ours):
        problems.append(f"{address} does not hear the operator's certificate")
    return judged(name, problems, f"refused: {', '.join(ways)}")


async def hears(address: str, context: ssl.SSLContext | None) -> bool:
    """Whether a port answers HTTP/2 to a client like this. In TLS 1.3 refusal comes with the first read."""
    host, port = split_address(address)
    writer = None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(_PREFACE)
            head = await reader.readexactly(_FRAME_HEAD_BYTES)
            return head[3] == _SETTINGS_TYPE
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
        return False
    finally:
        if writer is not None:
            await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close without waiting for a peer that does not care for goodbyes."""
    writer.transport.abort()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S):
            await writer.wait_closed()


async def _end_of_server(name: str, address: str, target: Target) -> Finding:
    tls, (host, port) = target.operator.tls, split_address(address)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            context = _context(tls.ca_file, tls.cert_file, tls.key_file)
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            await _close(writer)
    except (OSError, ssl.SSLError, TimeoutError) as error:
        return Finding(name, Status.FAIL, f"{address}: no connection ({type(error).__name__})")
    return end_of(name, x509.load_der_x509_certificate(der), datetime.now(UTC))


def end_of(name: str, certificate: x509.Certificate, now: datetime) -> Finding:
    """Judge how long a certificate still lasts."""
    end = certificate.not_valid_after_utc
    told = f"ends {end:%Y-%m-%d}"
    if end <= now:
        return Finding(name, Status.FAIL, told)
    return Finding(name, Status.WARN if end - now < _WARN else Status.PASS, told)


def _files(target: Target) -> Finding:
    name, now = "tls.files", datetime.now(UTC)
    files = {target.operator.tls.cert_file, target.operator.tls.ca_file}
    files |= {path for service in target.environments if (path := target.file(service, "TLS_CERT_FILE"))}
    if not files:
        return skipped(name, "no certificate file is known")
    ends: list[Finding] = []
    for file in sorted(files):
        try:
            ends.append(end_of(file.name, x509.load_pem_x509_certificate(file.read_bytes()), now))
        except (OSError, ValueError):
            ends.append(Finding(file.name, Status.FAIL, "cannot be read"))
    worst = next((s for s in (Status.FAIL, Status.WARN) if any(e.status is s for e in ends)), Status.PASS)
    problems = [f"{end.id} {end.evidence}" for end in ends if end.status is not Status.PASS]
    return judged(name, problems, f"{len(ends)} certificates last longer than {_WARN.days} days", worst=worst)


def _context(authority: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    # Names are the business of the calls that matter; here it is asked who is heard.
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return context
