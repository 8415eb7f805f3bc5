"""The story that checkpoints tell: any honest one is proven, and no touched one is."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.audit_chain import Broken, Link, Named, Problem
from services.auth.domain.audit_checkpoints import (
    HEARTBEAT,
    ChainState,
    CheckpointKey,
    Heads,
    Proof,
    next_statement,
)
from services.common.audit_checkpoint import KEY_NAME, Checkpoint, checkpoint_of, notes_in
from services.common.signed_note import VerifierKey, sign_note

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = timedelta(days=90)
PRIVATE = Ed25519PrivateKey.generate()
KEY = CheckpointKey(VerifierKey(KEY_NAME, PRIVATE.public_key()))


@dataclass(frozen=True)
class Row:
    """A checkpoint as it is kept."""

    number: int
    note: str
    named: tuple[tuple[str, Link], ...]


def link(sequence: int, salt: int = 0) -> Link:
    return Link(sequence, hashlib.sha256(f"{sequence} {salt}".encode()).digest())


def story(rounds: Sequence[tuple[Sequence[int], float]]) -> list[Row]:
    """Sign round by round. Each says which chains move, and how many seconds pass before."""
    rows: list[Row] = []
    named: dict[str, Link] = {}
    newest: Checkpoint | None = None
    now = START
    for moves, after_s in [((), 0.0), *rounds]:
        now += timedelta(seconds=after_s)
        heads = dict(named)
        for chain in moves:
            heads[f"t{chain}"] = link(heads.get(f"t{chain}", Link()).sequence + 1)
        states = [ChainState(team, head, Link(), named.get(team)) for team, head in heads.items()]
        statement = next_statement(newest, states, now, DAYS)
        if statement is None:
            continue
        newest = statement.checkpoint
        if newest.number > 1:
            named |= statement.named
        note = sign_note(newest.text, KEY_NAME, PRIVATE)
        rows.append(Row(newest.number, note, tuple(statement.named.items())))
    return rows


def proven(rows: Sequence[Row], seen: Checkpoint | None = None, key: CheckpointKey = KEY) -> Proof:
    proof = Proof([key], seen)
    for row in rows:
        if not proof.look_at(row.number, row.note, row.named):
            break
    else:
        proof.end()
    return proof


ROUNDS = st.lists(
    st.tuples(st.lists(st.integers(0, 4), max_size=3, unique=True), st.floats(0, 10_000)), max_size=8
)


@given(ROUNDS)
def test_an_honest_story_is_proven_whoever_signs_when(rounds: list[tuple[list[int], float]]) -> None:
    """Numbers without gaps, times that never go back, and a heartbeat when nothing moves."""
    rows = story(rounds)
    proof = proven(rows, checkpoint_of(rows[-1].note))
    assert proof.broken is None
    assert proof.count == len(rows)
    times = [checkpoint_of(row.note).at for row in rows]
    assert times == sorted(times)
    idle = [checkpoint_of(row.note).at for row in rows[1:] if not row.named]
    assert all(any(at - other >= HEARTBEAT for other in times) for at in idle)
    content = "other lines\n".join(row.note for row in rows)
    assert list(notes_in(content)) == [row.note for row in rows]
    half = rows[0].note[: len(rows[0].note) // 3]  # what a full disk may leave
    assert list(notes_in("\n".join((half, *(row.note for row in rows))))) == [row.note for row in rows]


@given(ROUNDS.filter(lambda rounds: sum(bool(moves) for moves, _ in rounds) >= 2), st.data())
def test_no_row_is_missed_moved_or_altered_unseen(
    rounds: list[tuple[list[int], float]], data: st.DataObject
) -> None:
    """With the last one seen before: whichever row it is."""
    rows = story(rounds)
    seen = checkpoint_of(rows[-1].note)
    place = data.draw(st.integers(0, len(rows) - 1))
    row = rows[place]
    touched = {
        "removed": [*rows[:place], *rows[place + 1 :]],
        "cut": rows[:place],
        "named more": [*rows[:place], replace(row, named=(*row.named, ("t9", link(1)))), *rows[place + 1 :]],
        "other note": [*rows[:place], replace(row, note=rows[place - 1].note), *rows[place + 1 :]],
        "other text": [
            *rows[:place],
            replace(row, note=row.note.replace("\nchains ", "\nchains 1")),
            *rows[place + 1 :],
        ],
    }
    kind = data.draw(st.sampled_from(sorted(touched)))
    assert proven(touched[kind], seen).broken is not None, kind


def _forked(rows: list[Row]) -> list[Row]:
    """Sign the last one anew over other heads, as auth would after a rollback."""
    last = checkpoint_of(rows[-1].note)
    named = (("t0", link(7, salt=1)),)
    heads = Heads([each for row in rows[:-1] for each in row.named])
    heads.name(named)
    other = replace(last, heads=heads.digest, chain_count=len(heads))
    return [*rows[:-1], Row(last.number, sign_note(other.text, KEY_NAME, PRIVATE), named)]


@pytest.mark.parametrize(
    ("touch", "broken"),
    [
        (_forked, Broken(4, Problem.ROLLED_BACK, 4)),
        (lambda rows: rows[:-1], Broken(4, Problem.ROLLED_BACK, 4)),
        (lambda _: [], Broken(4, Problem.ROLLED_BACK, 4)),
        (lambda rows: rows[1:], Broken(1, Problem.MISSING, 1)),
    ],
)
def test_what_was_seen_must_be_there(touch: Callable[[list[Row]], list[Row]], broken: Broken) -> None:
    """Or what replaces it is told, with the number."""
    rows = story([((0,), 60.0), ((0, 1), 60.0), ((1,), 60.0)])
    assert proven(touch(rows), checkpoint_of(rows[-1].note)).broken == broken


def test_each_checkpoint_follows_the_one_before_it() -> None:
    """One that our own key signed at another time does not fit between the others."""
    rows = story([((0,), 60.0), ((0, 1), 60.0), ((1,), 60.0)])
    other = replace(checkpoint_of(rows[1].note), kept_from=START - DAYS + timedelta(seconds=1))
    rows[1] = replace(rows[1], note=sign_note(other.text, KEY_NAME, PRIVATE))
    assert proven(rows).broken == Broken(2, Problem.CHANGED, 2)


def test_heads_are_what_a_shell_would_compute() -> None:
    """`sort | sha256sum` over lines of team, sequence and hash."""
    links = {"b": link(2), "a": link(11)}
    lines = sorted(f"{team} {each.sequence} {each.digest.hex()}\n" for team, each in links.items())
    assert Heads(links.items()).digest == hashlib.sha256("".join(lines).encode()).digest()


@pytest.mark.parametrize(
    ("head", "named", "moved", "contradicts"),
    [
        (link(2), None, True, False),
        (link(2), link(2), False, False),
        (link(3), link(2), True, False),
        (link(1), link(2), True, True),
        (link(2, 1), link(2), True, True),
        (None, link(2), False, True),
    ],
)
def test_a_chain_that_goes_back_is_noticed_when_it_is_signed(
    head: Link | None, named: Link | None, moved: bool, contradicts: bool
) -> None:
    """Shorter, other, or gone."""
    state = ChainState("t", head, Link(), named)
    assert (state.moved, state.contradicts) == (moved, contradicts)


def test_retention_may_have_cut_where_a_checkpoint_is_old_enough_alone() -> None:
    """What the last one says was kept stays; and where the first one begins was there before."""
    day = 86_400.0
    rows = story([((0,), 60.0), ((0,), 80 * day), ((0,), 20 * day)])
    proof = proven(rows)
    assert proof.broken is None
    assert proof.last_cut == 2
    named = [Named(row.number, dict(row.named)["t0"]) for row in rows[1:]]
    assert proof.anchor_problem(Link(), named) is None
    assert proof.anchor_problem(named[0].link, named) is None
    assert proof.anchor_problem(named[1].link, named) == Broken(2, Problem.ANCHOR_MOVED, 4)
    assert proof.anchor_problem(link(1, salt=1), named) == Broken(1, Problem.ANCHOR_MOVED, 4)
