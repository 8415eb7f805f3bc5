"""The chain: whatever is done to it behind our back is found, and a fresh one always holds."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.audit_chain import Kept, Link, Problem, Verifier, chained
from services.common.audit import AuditEvent

TEAM = "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"
START = datetime(2026, 11, 21, tzinfo=UTC)


def chain(length: int) -> list[Kept]:
    events = [
        AuditEvent(
            action="key.created",
            team_id=TEAM,
            actor=f"key:{number}",
            facts={"count": str(number)},
            at=START + timedelta(seconds=number),
        )
        for number in range(length)
    ]
    return chained(Link(), events)


def verdict(rows: list[Kept], head: Link, anchor: Link | None = None, batch: int = 1_000) -> tuple | None:
    verifier = Verifier(anchor or Link())
    for start in range(0, len(rows), batch):
        verifier.walk(rows[start : start + batch])
    broken = verifier.end(head)
    return None if broken is None else (broken.sequence, broken.problem)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 7))
def test_a_chain_holds_from_any_anchor_on(length: int, removed: int, batch: int) -> None:
    """Also when it is read in batches of any size."""
    rows = chain(length)
    head = rows[-1].link if rows else Link()
    removed = min(removed, length)
    anchor = rows[removed - 1].link if removed else Link()
    assert verdict(rows[removed:], head, anchor, batch) is None


@given(st.integers(1, 20), st.data())
def test_any_change_of_any_field_is_found(length: int, data: st.DataObject) -> None:
    """The first row that was changed is the one that is named."""
    rows = chain(length)
    place = data.draw(st.integers(0, length - 1))
    event = rows[place].event
    changes = [
        {"action": "key.revoked"},
        {"resource": "key:2"},
        {"actor": "operator"},
        {"credential": "key:2"},
        {"edge": "cli"},
        {"request_id": "r"},
        {"outcome": "denied"},
        {"reason": "X"},
        {"facts": {}},
        {"facts": {**event.facts, "kind": "x"}},
        {"id": "00000000-0000-4000-8000-000000000000"},
        {"at": event.at + timedelta(microseconds=1)},
        {"team_id": "3f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718"},
    ]
    changed = replace(event, **data.draw(st.sampled_from(changes)))
    head = rows[-1].link
    rows[place] = Kept(changed, rows[place].link)
    assert verdict(rows, head) == (place + 1, Problem.CHANGED)


@given(st.integers(2, 20), st.data())
def test_a_removed_row_is_found(length: int, data: st.DataObject) -> None:
    """At the beginning, in the middle, at the end; also when what follows is given new numbers."""
    rows = chain(length)
    head = rows[-1].link
    place = data.draw(st.integers(0, length - 1))
    del rows[place]
    assert verdict(rows, head) == (place + 1, Problem.MISSING)
    closed = [Kept(row.event, Link(number, row.link.digest)) for number, row in enumerate(rows, 1)]
    assert verdict(closed, head) is not None


@given(st.integers(2, 20), st.data())
def test_rows_that_changed_places_are_found(length: int, data: st.DataObject) -> None:
    """Each row is at home in one place only."""
    rows = chain(length)
    head = rows[-1].link
    first = data.draw(st.integers(0, length - 2))
    second = data.draw(st.integers(first + 1, length - 1))
    one, other = rows[first], rows[second]
    rows[first] = Kept(other.event, Link(first + 1, other.link.digest))
    rows[second] = Kept(one.event, Link(second + 1, one.link.digest))
    assert verdict(rows, head) == (first + 1, Problem.REORDERED)


@given(st.integers(1, 20), st.data())
def test_a_cut_off_end_is_found(length: int, data: st.DataObject) -> None:
    """What no chain of hashes shows by itself: the head knows."""
    rows = chain(length)
    kept = data.draw(st.integers(0, length - 1))
    assert verdict(rows[:kept], rows[-1].link) == (kept + 1, Problem.MISSING)


def test_a_chain_that_was_written_anew_does_not_fit_its_head() -> None:
    """Who rewrites all rows must rewrite the head as well, and whoever kept it knows."""
    rows = chain(5)
    forged = chained(Link(), [replace(row.event, actor="nobody") for row in rows])
    assert verdict(forged, rows[-1].link) == (5, Problem.CHANGED)


def test_the_hash_is_the_documented_one() -> None:
    """Anybody can compute it with a few lines."""
    event = AuditEvent(
        action="key.created",
        team_id=TEAM,
        resource="key:1",
        actor="operator",
        credential="",
        edge="cli",
        request_id="r-1",
        facts={"read_only": "true", "kind": "api_key"},
        id="c8e1d2f3-5b40-4d66-9f2e-30ab7c4d5e6f",
        at=datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC),
    )
    micros = 1_795_262_400_123_456
    facts = [["kind", "api_key"], ["read_only", "true"]]
    listed = ["mailwarden.audit.v1", TEAM, 1, event.id, micros, "key.created", "key:1", "operator", ""]
    listed += ["cli", "r-1", "ok", "", facts]
    canonical = json.dumps(listed, separators=(",", ":")).encode()
    assert chained(Link(), [event])[0].link.digest == hashlib.sha256(bytes(32) + canonical).digest()


@pytest.mark.parametrize("length", [0, 1])
def test_short_chains_hold(length: int) -> None:
    """Nothing recorded is nothing broken."""
    rows = chain(length)
    assert verdict(rows, rows[-1].link if rows else Link()) is None
