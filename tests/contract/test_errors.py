"""The reasons of errors: named once, documented, and the same in the contract and in the code."""

import re
from collections import defaultdict

import pytest

from docs import errors_page
from docs.errors_page import BACKENDS, COMPUTED, RIMS, named_in_the_contract, raised_in
from services.common.errors import TABLE, Kind

RAISED = [*raised_in(*BACKENDS, *RIMS), *COMPUTED]
BY_BACKENDS = sorted({each.reason for each in raised_in(*BACKENDS)})
BY_COMMON = {each.reason for each in raised_in("services/common")}
CONTRACT = named_in_the_contract()
NAMED = sorted({each.reason for each in CONTRACT})


@pytest.mark.promise("errors.named")
def test_the_page_of_errors_is_up_to_date() -> None:
    """`make docs` writes it; what it says is what the code does."""
    assert errors_page.PAGE.read_text() == errors_page.page()


def test_the_reader_of_the_code_sees_what_there_is() -> None:
    """Were it to go blind, every test below would pass."""
    assert len(RAISED) > 120
    assert {"SCOPE_MISSING", "GMAIL_QUOTA", "WINDOW_INVERTED", "BODY_TOO_LARGE", "MAIL_CORE_DOWN"} <= {
        each.reason for each in RAISED
    }


def test_every_reason_is_a_stable_word() -> None:
    """UPPER_SNAKE, so that it is a part of a problem's URL as it is."""
    assert [each for each in RAISED if not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", each.reason)] == []


def test_a_reason_has_one_kind_and_one_status() -> None:
    """The same word never means 400 here and 409 there, on any edge."""
    kinds: dict[str, set[Kind]] = defaultdict(set)
    statuses: dict[str, set[int]] = defaultdict(set)
    for each in RAISED:
        kinds[each.reason].add(each.kind)
        statuses[each.reason].add(each.status or TABLE[each.kind].http_status)
    assert {reason: found for reason, found in kinds.items() if len(found) > 1} == {}
    assert {reason: found for reason, found in statuses.items() if len(found) > 1} == {}


@pytest.mark.promise("errors.named")
@pytest.mark.parametrize("reason", BY_BACKENDS)
def test_what_a_backend_raises_is_named_in_the_contract(reason: str) -> None:
    """Who has only the protos can handle every failure of a method."""
    assert reason in NAMED or reason in BY_COMMON


@pytest.mark.parametrize("reason", NAMED)
def test_what_the_contract_names_is_raised_with_the_kind_that_it_names(reason: str) -> None:
    """No reason is promised that no code keeps."""
    raised = {each.kind for each in RAISED if each.reason == reason}
    assert raised
    assert {each.kind for each in CONTRACT if each.reason == reason and each.kind} <= raised


def test_every_reason_is_explained() -> None:
    """A table with empty cells helps nobody."""
    rows = [line for line in errors_page.page().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.replace("\\|", "/").split("|")[1:-1]] for row in rows]
    assert [row for row in cells if not all(row)] == []
