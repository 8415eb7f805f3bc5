"""The header fields of the transport: what mx.google.com puts on top, and the sender's own signature."""

import base64
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from random import Random

from services.sandbox.lists import Dkim

_SIGNED = "from:to:subject:date:message-id:mime-version:content-type:list-id:list-unsubscribe"
_POST_SIGNED = ":list-unsubscribe-post"
_FOLD = "\r\n        "
_BASE64_LINE = 68
_WORD_CHARS = 14  # at most 4 octets each


@dataclass(frozen=True, slots=True)
class Transport:
    """One message's way into the mailbox. The same `random` gives the same fields."""

    sender: str
    to: str
    instant: datetime
    dkim: Dkim = Dkim.COVERS

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]

    def fields(self, random: Random) -> list[str]:
        """Fields topmost first: what the receiver writes, then what came with the mail."""
        address = f"192.0.2.{random.randrange(1, 255)}"
        bounce = f"bounces+{random.randrange(10**7)}@{self.domain}"
        signature = base64.b64encode(random.randbytes(256)).decode()
        is_pass = self.dkim in {Dkim.COVERS, Dkim.LACKS_POST}
        forged = [self._results(bounce, address, signature, is_pass=True)] if self.dkim is Dkim.FORGED else []
        return [
            *self._received(bounce, address, random),
            self._results(bounce, address, signature, is_pass=is_pass),
            *forged,
            self._signature(signature, base64.b64encode(random.randbytes(32)).decode()),
        ]

    def _received(self, bounce: str, address: str, random: Random) -> list[str]:
        stamp = format_datetime(self.instant)
        host = f"out.{self.domain}"
        accepted = f"by mx.google.com with ESMTPS id {random.randbytes(8).hex()}{_FOLD}for <{self.to}>"
        return [
            f"Delivered-To: {self.to}",
            f"Received: by 2002:a05:6a10:b0:5e:{random.randrange(1 << 16):x} with SMTP id a7;{_FOLD}{stamp}",
            f"Return-Path: <{bounce}>",
            f"Received: from {host} ({host}. [{address}]){_FOLD}{accepted};{_FOLD}{stamp}",
            f"Received-SPF: pass (google.com: {_permits(bounce, address)}) client-ip={address};",
        ]

    def _results(self, bounce: str, address: str, signature: str, *, is_pass: bool) -> str:
        """`header.b` is the start of the signature that was checked (RFC 6008)."""
        dkim = "pass" if is_pass else "fail (body hash did not verify)"
        dmarc = "pass (p=REJECT sp=REJECT dis=NONE)" if is_pass else "fail (p=NONE sp=NONE dis=NONE)"
        return (
            f"Authentication-Results: mx.google.com;{_FOLD}dkim={dkim} header.i=@{self.domain} header.s=s1 "
            f"header.b={signature[:8]};{_FOLD}spf=pass (google.com: {_permits(bounce, address)}) "
            f"smtp.mailfrom={bounce};{_FOLD}dmarc={dmarc} header.from={self.domain}"
        )

    def _signature(self, signature: str, body_hash: str) -> str:
        covered = _SIGNED if self.dkim is Dkim.LACKS_POST else _SIGNED + _POST_SIGNED
        starts = range(0, len(signature), _BASE64_LINE)
        folded = f"{_FOLD} ".join(signature[start : start + _BASE64_LINE] for start in starts)
        return (
            f"DKIM-Signature: v=1; a=rsa-sha256; q=dns/txt; c=relaxed/relaxed; d={self.domain}; s=s1;{_FOLD}"
            f"h={covered};{_FOLD}bh={body_hash};{_FOLD}b={folded}"
        )


def _permits(bounce: str, address: str) -> str:
    return f"domain of {bounce} designates {address} as permitted sender"


def field(name: str, value: str) -> str:
    """One header line; what is not ASCII becomes encoded words."""
    if value.isascii():
        return f"{name}: {value}"
    words = (f"=?utf-8?B?{base64.b64encode(chunk.encode()).decode()}?=" for chunk in _pieces(value))
    return f"{name}: " + "\r\n ".join(words)


def _pieces(value: str) -> list[str]:
    """Pieces short enough for one encoded word each (75 characters, RFC 2047 §2)."""
    return [value[start : start + _WORD_CHARS] for start in range(0, len(value), _WORD_CHARS)]
