"""Audit events as values: what may be said in them, and how repeats are folded (DESIGN D9).

An event says who did what to which thing, by ids and plain words. Text that people or senders wrote has no
place in it: facts are an allow-list of names, each with the one form that its value may have.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from services.common.context import Call, current_call
from services.common.errors import AppError, invalid
from services.common.identity import Caller

SYSTEM_TEAM_ID: Final = str(uuid.UUID(int=0))
"""The chain of what belongs to no team: unknown credentials, upkeep."""
MAX_FACTS: Final = 16
OPERATOR: Final = "operator"
"""Actor of what is done by the `cli` certificate."""

OK, DENIED, FAILED = "ok", "denied", "failed"
_OUTCOMES: Final = frozenset({OK, DENIED, FAILED})
_MAX_ACTOR_CHARS: Final = 600

_NUMBER: Final = re.compile(r"-?\d{1,18}")
_FLAG: Final = re.compile(r"true|false")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_SCOPES: Final = re.compile(r"(?:[a-z_]{1,40}:[a-z_]{1,20}(?: |$)){0,16}")
_SETTINGS: Final = re.compile(r"(?:[A-Z0-9_]{1,48}(?: |$)){0,100}")
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")
_HINT: Final = re.compile(r"[0-9a-f]{8}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROUTE: Final = re.compile(
    r"[A-Z]{3,7} (?:/[a-z0-9/{}_.*-]{0,80}|[a-z]{1,16})|[a-z]{1,16}\.[A-Za-z_]{1,48}|unknown"
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
FACTS: Final[Mapping[str, re.Pattern[str]]] = {
    "count": _NUMBER,
    "dropped_count": _NUMBER,
    "message_count": _NUMBER,
    "subscription_count": _NUMBER,
    "label_count": _NUMBER,
    "mailbox_count": _NUMBER,
    "team_count": _NUMBER,
    "http_status": _NUMBER,
    "overlap_minutes": _NUMBER,
    "retention_days": _NUMBER,
    "dry_run": _FLAG,
    "read_only": _FLAG,
    "replaced": _FLAG,
    "disabled": _FLAG,
    "forced": _FLAG,
    "temporary": _FLAG,
    "partial": _FLAG,
    "archived": _FLAG,
    "kind": _WORD,
    "method": _WORD,
    "state": _WORD,
    "mode": _WORD,
    "plan": _WORD,
    "audience": _WORD,
    "limit": _WORD,
    "scopes": _SCOPES,
    "settings": _SETTINGS,
    "settings_digest": _DIGEST,
    "key_hint": _HINT,
    "operation_id": _UUID,
    "attempt_id": _UUID,
    "mailbox_id": _UUID,
    "replaced_by": _UUID,
    "route": _ROUTE,
    "expires_at": _TIME,
}
"""Every fact that an event may carry, and what its value must look like."""
_ACTION: Final = re.compile(r"[a-z_]{1,32}\.[a-z_]{1,32}")
_RESOURCE: Final = re.compile(r"(?:[a-z_]{1,24}:[A-Za-z0-9_.:-]{1,64})?")
_CREDENTIAL: Final = re.compile(r"(?:[a-z]{1,16}:[\x21-\x7e]{1,255})?")
_EDGE: Final = re.compile(r"[a-z0-9_]{0,32}")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{0,128}")
_REASON: Final = re.compile(r"[A-Z0-9_]{0,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that happened. `team_id` is empty while nobody knows whose it is."""

    action: str
    team_id: str = ""
    resource: str = ""
    actor: str = ""
    credential: str = ""
    edge: str = ""
    request_id: str = ""
    outcome: str = OK
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def with_credential(self, credential: str) -> "AuditEvent":
        """The same, done with a credential whose caller was never established."""
        return replace(self, credential=credential)

    @property
    def chain(self) -> str:
        """The team whose chain it belongs in."""
        return self.team_id or SYSTEM_TEAM_ID


def audit_event(
    action: str,
    *,
    resource: str = "",
    outcome: str = OK,
    reason: str = "",
    team_id: str = "",
    call: Call | None = None,
    **facts: object,
) -> AuditEvent:
    """Make an event of a call, the present one unless named: its caller, edge and request id are filled in.

    Raises ValueError for a fact that is not on the list: that is a mistake of the code, never of a caller.
    """
    call = call or current_call()
    caller = call.caller if call else None
    event = AuditEvent(
        action=action,
        team_id=team_id or (caller.team_id if caller else ""),
        resource=resource,
        actor=actor_of(caller.principal) if caller else _peer_actor(call.peer if call else ""),
        credential=credential_of_caller(caller) if caller else "",
        edge=call.peer if call else "",
        request_id=call.request_id if call else "",
        outcome=outcome,
        reason=reason,
        facts={name: _text(value) for name, value in facts.items() if value not in (None, "")},
    )
    if problem := problem_of_event(event):
        raise ValueError(f"{action} cannot be audited: {problem}")
    return event


def actor_of(principal: str) -> str:
    """Name a principal. A subject that is an e-mail address is told by its hash, the same each time."""
    issuer, mark, subject = principal.rpartition("#")
    if "@" not in principal:
        return principal[:_MAX_ACTOR_CHARS]
    if "@" in issuer:
        issuer, mark, subject = "", "", principal
    return f"{issuer}{mark}~{hashlib.sha256(subject.encode()).hexdigest()[:16]}"


def credential_of_caller(caller: Caller) -> str:
    """Name what a caller proved themselves with, as in `Caller.roots` but for the team behind the @."""
    if not caller.key_id:
        return ""
    if caller.credential_kind == "api_key":
        return f"key:{caller.key_id}"
    token = next((root for root in caller.roots if root.startswith("token:")), "")
    return token.partition("@")[0] or f"token:{_tidy(caller.key_id)}"


def unknown_credential(secret: str) -> str:
    """Name a credential that nobody knows, so that its repeats can be told from others."""
    return f"unknown:{hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def problem_of_event(event: AuditEvent) -> str:
    """Say which part of an event may not be as it is; empty when all may. Never quotes a value."""
    forms = (
        ("id", _UUID, event.id),
        ("action", _ACTION, event.action),
        ("resource", _RESOURCE, event.resource),
        ("credential", _CREDENTIAL, event.credential),
        ("edge", _EDGE, event.edge),
        ("request_id", _REQUEST_ID, event.request_id),
        ("reason", _REASON, event.reason),
    )
    for name, form, value in forms:
        if not form.fullmatch(value):
            return name
    if event.team_id and not _UUID.fullmatch(event.team_id):
        return "team_id"
    if event.outcome not in _OUTCOMES:
        return "outcome"
    if "@" in event.actor or len(event.actor) > _MAX_ACTOR_CHARS or not event.actor.isprintable():
        return "actor"
    return _problem_of_facts(event.facts)


def check_event(event: AuditEvent) -> AuditEvent:
    """Give an event back that may be kept. Raises AppError INVALID_ARGUMENT EVENT_INVALID."""
    if problem := problem_of_event(event):
        raise invalid("EVENT_INVALID", f"An event's {problem} is not of the form that it must have.")
    return event


def denial_of(call: Call, route: str, error: AppError) -> AuditEvent:
    """Say that a call was refused at a backend. `route` is the method, for example `mail.ScanMailbox`."""
    return audit_event("access.denied", outcome=DENIED, reason=error.reason, call=call, route=route)


class Folding:
    """Bounds what a flood can write: the first of equal events at once, its repeats as one with a count.

    Of events that belong to no team, only `max_unknown` different credentials are told apart in a window.
    """

    def __init__(
        self,
        *,
        window: timedelta = timedelta(minutes=1),
        max_unknown: int = 20,
        max_kinds: int = 2_000,
    ) -> None:
        self._window = window
        self._max_unknown = max_unknown
        self._max_kinds = max_kinds
        self._open: dict[tuple[str, ...], _Repeats] = {}
        self._unknown = 0

    def add(self, event: AuditEvent) -> AuditEvent | None:
        """Give the event when it is to be written now; None when it is counted, or there are too many."""
        key = _kind_of(event)
        if key not in self._open and self._is_one_too_many(event):
            event = replace(event, actor="", credential="unknown:others", request_id="", facts={})
            key = _kind_of(event)
        known = self._open.get(key)
        if known is not None:
            known.count += 1
            known.latest = event
            return None
        self._open[key] = _Repeats(event.at + self._window, event)
        self._unknown += not event.team_id
        return event

    def due(self, now: datetime | None) -> list[AuditEvent]:
        """Give one event for the repeats of each window that has ended; of all windows without a `now`."""
        over = [key for key, kind in self._open.items() if now is None or kind.ends_at <= now]
        ended = [self._open.pop(key) for key in over]
        self._unknown -= sum(not kind.latest.team_id for kind in ended)
        return [kind.told() for kind in ended if kind.count]

    def _is_one_too_many(self, event: AuditEvent) -> bool:
        if not event.team_id and self._unknown >= self._max_unknown:
            return True
        return len(self._open) >= self._max_kinds


@dataclass(slots=True)
class _Repeats:
    ends_at: datetime
    latest: AuditEvent
    count: int = 0

    def told(self) -> AuditEvent:
        facts = {**self.latest.facts, "count": str(self.count)}
        return replace(self.latest, facts=facts, id=str(uuid.uuid4()))


def _kind_of(event: AuditEvent) -> tuple[str, ...]:
    route = event.facts.get("route", "")
    return (
        event.team_id,
        event.action,
        event.resource,
        event.actor,
        event.credential,
        event.edge,
        event.reason,
        route,
    )


def _problem_of_facts(facts: Mapping[str, str]) -> str:
    if len(facts) > MAX_FACTS:
        return "facts"
    for name, value in facts.items():
        form = FACTS.get(name)
        if form is None:
            return "facts"
        if not form.fullmatch(value):
            return f"fact {name}"
    return ""


def _peer_actor(peer: str) -> str:
    return OPERATOR if peer == "cli" else ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _tidy(text: str) -> str:
    kept = "".join(c for c in text if c.isascii() and c.isprintable() and c not in " @")
    return kept[:255] or "none"
