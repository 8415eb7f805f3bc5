"""Which header fields a verified DKIM signature vouches for (RFC 6376, RFC 8058 section 4).

No cryptography here: the mailbox's own receiver verified the signatures and said so.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.mail_core.domain.authentication_results import MethodResult, own_results
from services.mail_core.domain.encoded_words import unfold
from services.mail_core.domain.message import Headers

ONE_CLICK_FIELDS = frozenset({"list-unsubscribe", "list-unsubscribe-post"})
# RFC 6008 section 4: a receiver names a signature by at least its first eight characters.
_SHORTEST_PREFIX = 8
_MAX_SIGNATURES = 20
_TAG_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


class Coverage(StrEnum):
    """Whether both unsubscribe fields are vouched for."""

    COVERED = "COVERED"
    # The receiver did not report, or reported no DKIM signature as valid.
    NOT_VERIFIED = "NOT_VERIFIED"
    # A valid signature there is, but none of the valid ones signs both fields.
    NOT_COVERING = "NOT_COVERING"


@dataclass(frozen=True, slots=True)
class DkimSignature:
    """The tags that identify a signature and what it signs; names in lower case."""

    domain: str
    identity: str
    selector: str
    value: str
    signed_fields: frozenset[str]


def parse_tags(text: str) -> dict[str, str] | None:
    """Read a tag=value list (RFC 6376 section 3.2); None when malformed or when a tag comes twice."""
    tags: dict[str, str] = {}
    for item in unfold(text).split(";"):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not name and not equals:
            continue
        if not equals or not _TAG_NAME.fullmatch(name) or name in tags:
            return None
        tags[name] = value
    return tags


def parse_dkim_signature(field: str) -> DkimSignature | None:
    """Read a DKIM-Signature field; None when it lacks what a signature must have."""
    tags = parse_tags(field)
    if tags is None or not all(tags.get(name) for name in ("b", "d", "h", "s")):
        return None
    domain = tags["d"].lower()
    names = frozenset(re.sub(r"\s+", "", name).lower() for name in tags["h"].split(":"))
    value = re.sub(r"\s+", "", tags["b"])
    return DkimSignature(domain, (tags.get("i") or f"@{domain}").lower(), tags["s"].lower(), value, names)


def covers_list_unsubscribe(headers: Headers, authserv_ids: Collection[str]) -> Coverage:
    """Judge whether a valid signature covers List-Unsubscribe and List-Unsubscribe-Post."""
    report = own_results(headers, authserv_ids)
    passes = [r for r in report.results if (r.method, r.result) == ("dkim", "pass")] if report else []
    if not passes:
        return Coverage.NOT_VERIFIED
    fields = headers.get_all("DKIM-Signature")[:_MAX_SIGNATURES]
    signatures = [parsed for field in fields if (parsed := parse_dkim_signature(field)) is not None]
    is_covered = any(_vouches(result, signatures) for result in passes)
    return Coverage.COVERED if is_covered else Coverage.NOT_COVERING


def _vouches(result: MethodResult, signatures: list[DkimSignature]) -> bool:
    """Say whether the signature that `result` is about covers both fields.

    A result that fits several signatures counts only when each of them covers.
    """
    meant = [signature for signature in signatures if _is_about(result, signature)]
    return bool(meant) and all(signature.signed_fields >= ONE_CLICK_FIELDS for signature in meant)


def _is_about(result: MethodResult, signature: DkimSignature) -> bool:
    """Match what the receiver named: b by prefix, d, i and s; at least b, d or i must be there."""
    named = result.properties
    prefix = named.get("header.b")
    if prefix is not None and not _is_prefix(prefix, signature.value):
        return False
    claims = (
        ("header.d", signature.domain),
        ("header.i", signature.identity),
        ("header.s", signature.selector),
    )
    if any(name in named and named[name].lower() != value for name, value in claims):
        return False
    return not named.keys().isdisjoint({"header.b", "header.d", "header.i"})


def _is_prefix(prefix: str, value: str) -> bool:
    return value.startswith(prefix) and len(prefix) >= min(_SHORTEST_PREFIX, len(value))
