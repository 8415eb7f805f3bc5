"""Which clients are meant by what an operator blocks: one document's address, or a host and all below it.

Clients that register are not: they come back under another id, and are revoked or not let register at all.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from services.auth.oauth.domain.clients import is_document_url
from services.common.errors import invalid

_MAX_HOST_CHARS: Final = 253
# Two labels at least (RFC 1123 §2.1), so that nobody shuts a whole top-level domain out by a slip.
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Blocked:
    """What is shut out, and since when."""

    address: str
    blocked_at: datetime


def read_address(text: str) -> str:
    """Read what an operator wants blocked. Raises AppError INVALID_ARGUMENT CLIENT_ADDRESS_INVALID."""
    host = text.lower()
    if is_document_url(text):
        return text
    if len(host) <= _MAX_HOST_CHARS and _HOST.fullmatch(host):
        return host
    raise invalid(
        "CLIENT_ADDRESS_INVALID",
        "address must be the https address of a client's document, or the name of a host.",
        field="address",
    )


def addresses_of(client_id: str) -> tuple[str, ...]:
    """Name all that would block a client: its own address, its host, and the hosts above that one."""
    if not is_document_url(client_id):
        return ()
    labels = (urlsplit(client_id).hostname or "").split(".")
    hosts = (".".join(labels[start:]) for start in range(max(len(labels) - 1, 1)))
    return (client_id, *hosts)
