"""Audit events: what may be said in them, and how floods are folded."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from protos.auth.v1 import auth_pb2
from services.common.audit import (
    FACTS,
    AuditEvent,
    Folding,
    actor_of,
    audit_event,
    check_event,
    problem_of_event,
    unknown_credential,
)
from services.common.audit_proto import team_event_from_proto, team_event_to_proto
from services.common.audit_recorder import AuditRecorder
from services.common.context import Call
from services.common.errors import AppError, unavailable
from services.common.identity import Caller
from services.common.limits import Limit

TEAM = "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"
PLANTED = [
    "ma_" + "A" * 43,
    "mat_" + "b" * 43,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
    "owner@example.com",
    "https://news.example/unsubscribe?u=123",
    "Your invoice of March",
    "mailto:leave@news.example",
    "correct-horse-battery-staple-and-more",
]


@pytest.mark.parametrize("name", sorted(FACTS))
@pytest.mark.parametrize("secret", PLANTED)
def test_no_fact_can_hold_a_secret(name: str, secret: str) -> None:
    """Whichever name it is smuggled under."""
    event = AuditEvent(action="key.created", team_id=TEAM, facts={name: secret})
    assert problem_of_event(event) == f"fact {name}"
    with pytest.raises(AppError, match="EVENT_INVALID") as caught:
        check_event(event)
    assert secret not in str(caught.value)


def test_a_fact_that_is_not_on_the_list_is_a_mistake() -> None:
    """Found by the first test that runs the line, not by a reader of the log."""
    with pytest.raises(ValueError, match="cannot be audited"):
        audit_event("key.created", subject="Hello")


@pytest.mark.parametrize("secret", PLANTED[3:6])
def test_no_other_field_takes_what_people_wrote(secret: str) -> None:
    """Resource, reason, action and edge have forms of their own."""
    event = AuditEvent(action="key.created", team_id=TEAM)
    for name in ("action", "resource", "edge", "reason"):
        assert problem_of_event(replace(event, **{name: secret})) == name
    assert problem_of_event(replace(event, actor="owner@example.com")) == "actor"


def test_a_subject_that_is_an_address_is_told_by_its_hash() -> None:
    """The same each time, so that a filter by the real one finds it."""
    told = actor_of("https://issuer.example#owner@example.com")
    assert told.startswith("https://issuer.example#~")
    assert "@" not in told
    assert told == actor_of("https://issuer.example#owner@example.com")
    assert actor_of("key:1") == "key:1"
    assert actor_of("issuer#subject") == "issuer#subject"


def test_an_unknown_credential_is_told_by_its_hash() -> None:
    """Enough to tell two of them apart, useless to use one."""
    assert unknown_credential(PLANTED[0]) != unknown_credential(PLANTED[1])
    assert len(unknown_credential(PLANTED[0])) == len("unknown:") + 8


def test_an_event_survives_the_wire() -> None:
    """Every field, to the microsecond."""
    event = audit_event(
        "access.denied", team_id=TEAM, outcome="denied", reason="READ_ONLY", route="mail.ScanMailbox"
    )
    sent = auth_pb2.TeamEvent.FromString(team_event_to_proto(event).SerializeToString())
    assert team_event_from_proto(sent) == event


def refusal(credential: str = "", team_id: str = "", **changes: object) -> AuditEvent:
    event = AuditEvent(
        action="passport.refused", team_id=team_id, credential=credential, outcome="denied", reason="X"
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def test_repeats_of_a_minute_become_one_event_with_a_count() -> None:
    """The first is told at once; a flood costs two rows a minute."""
    folding = Folding()
    now = datetime.now(UTC)
    assert folding.add(refusal("unknown:aaaaaaaa", at=now)) is not None
    assert all(folding.add(refusal("unknown:aaaaaaaa", at=now)) is None for _ in range(1_000))
    assert folding.due(now + timedelta(seconds=59)) == []
    told = folding.due(now + timedelta(seconds=61))
    assert [event.facts["count"] for event in told] == ["1000"]
    assert folding.add(refusal("unknown:aaaaaaaa", at=now + timedelta(seconds=62))) is not None


def test_a_flood_of_ever_new_credentials_is_bounded_too() -> None:
    """Guessing with a million keys writes some twenty rows a minute."""
    folding = Folding()
    written = [folding.add(refusal(f"unknown:{number:08x}")) for number in range(10_000)]
    told = folding.due(None)
    assert sum(event is not None for event in written) == 21
    assert sum(int(event.facts["count"]) for event in told) == 10_000 - 21


def test_a_flood_of_strangers_hides_no_team() -> None:
    """What belongs to a team is told whatever strangers do."""
    folding = Folding()
    for number in range(1_000):
        folding.add(refusal(f"unknown:{number:08x}"))
    assert folding.add(refusal("key:1", TEAM)) is not None


class Auth:
    """Takes events, unless it is away."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.is_away = False

    async def append(self, request: auth_pb2.AppendEventsRequest) -> auth_pb2.AppendEventsResponse:
        if self.is_away:
            raise unavailable("AUTH_DOWN", "away")
        self.events += [team_event_from_proto(event) for event in request.events]
        return auth_pb2.AppendEventsResponse()


def caller() -> Caller:
    return Caller(TEAM, "Team", "key:1", "1", "api_key", frozenset())


async def test_an_edge_tells_who_was_refused_where() -> None:
    """By the names of its own routes."""
    auth = Auth()
    recorder = AuditRecorder("edge_rest", auth.append)
    recorder.refused(Call(request_id="r-1"), None, "GET /v1/me", "CREDENTIAL_MISSING")
    recorder.refused(Call(request_id="r-2"), caller(), "GET /v1/mailboxes/{mailbox_id}/x", "SCOPE_MISSING")
    recorder.limit_hit(caller(), Limit("key", "x", 1))
    await recorder.flush()
    assert [(event.action, event.reason, event.team_id, event.edge) for event in auth.events] == [
        ("request.refused", "CREDENTIAL_MISSING", "", "edge_rest"),
        ("request.refused", "SCOPE_MISSING", TEAM, "edge_rest"),
        ("limit.hit", "RATE_LIMIT_EXCEEDED", TEAM, "edge_rest"),
    ]
    assert auth.events[0].facts == {"route": "GET /v1/me"}


async def test_what_cannot_be_sent_waits_and_then_is_dropped_and_counted() -> None:
    """An edge never holds up a request for the log, and never forgets that it lost some of it."""
    auth = Auth()
    recorder = AuditRecorder("edge_rest", auth.append, max_waiting=10)
    auth.is_away = True
    for number in range(15):
        recorder.note(refusal(f"key:{number}", TEAM))
    with pytest.raises(AppError):
        await recorder.flush()
    assert recorder.dropped_count == 5
    auth.is_away = False
    await recorder.flush()
    assert len(auth.events) == 11
    assert auth.events[-1].facts == {"dropped_count": "5"}
    assert recorder.dropped_count == 0


async def test_the_end_of_an_edge_sends_what_is_left() -> None:
    """Also what was still being counted."""
    auth = Auth()
    recorder = AuditRecorder("edge_rest", auth.append)
    async with asyncio.timeout(5), recorder.recording():
        for _ in range(3):
            recorder.note(refusal("key:1", TEAM))
    assert [event.facts.get("count") for event in auth.events] == [None, "2"]
