"""Promises and tests, both ways: none unproven, none claimed that was not made."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviours import PROMISES, Promise

TESTS = Path(__file__).parents[1]


def claims() -> Iterator[tuple[str, str]]:
    """Give each claimed id and the test that claims it, read from the decorators."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for claimed in _claimed_by(node):
                    yield claimed, f"{file.relative_to(TESTS)}::{node.name}"


def _claimed_by(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
            yield from (ast.literal_eval(argument) for argument in decorator.args)


CLAIMS = list(claims())


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.id)
def test_every_promise_is_proven_or_says_why_not(promise: Promise) -> None:
    """A gap that a test fills is no gap any more."""
    proofs = [test for claimed, test in CLAIMS if claimed == promise.id]
    assert bool(proofs) != bool(promise.gap), proofs


def test_nothing_is_claimed_that_was_not_promised() -> None:
    """A mistyped claim proves nothing."""
    known = {promise.id for promise in PROMISES}
    assert [(claimed, test) for claimed, test in CLAIMS if claimed not in known] == []


def test_only_tests_that_run_make_claims() -> None:
    """A claim on a helper is never checked."""
    assert [test for _, test in CLAIMS if not test.partition("::")[2].startswith("test_")] == []


def test_promises_are_told_apart_and_are_sentences() -> None:
    """The list is meant to be read."""
    ids = [promise.id for promise in PROMISES]
    assert len(set(ids)) == len(ids)
    for promise in PROMISES:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", promise.id)
        assert promise.sentence[0].isupper() or promise.sentence[0] == "`"
        assert promise.sentence.endswith(".")
        assert promise.source
