"""Google's quota costs as data."""

import pytest

from services.mail_core.domain.pacing import TABLES, units, units_per_minute


@pytest.mark.parametrize(
    ("method", "new", "old"),
    [
        ("messages.get", 20, 5),
        ("messages.list", 5, 5),
        ("messages.batchModify", 50, 50),
        ("messages.send", 100, 100),
        ("history.list", 2, 2),
        ("getProfile", 1, 1),
        ("labels.list", 1, 1),
        ("labels.create", 5, 5),
        ("threads.get", 40, 10),
    ],
)
def test_costs_follow_the_table_of_the_project(method, new, old):
    """Gmail API usage limits, before and since 2026-05-01."""
    assert (units(method, "2026"), units(method, "2025")) == (new, old)


def test_limits_follow_the_table_of_the_project():
    """Units that one user may spend in a minute."""
    assert (units_per_minute("2026"), units_per_minute("2025")) == (6_000, 15_000)
    assert units_per_minute() == 6_000


def test_both_tables_know_the_same_methods():
    """Switching the table must not make a call unknown."""
    assert TABLES["2026"].costs.keys() == TABLES["2025"].costs.keys()


@pytest.mark.parametrize(("method", "table"), [("messages.guess", "2026"), ("messages.get", "1999")])
def test_an_unknown_call_has_no_cost(method, table):
    """A guess here would be a quota error at Google."""
    with pytest.raises(KeyError):
        units(method, table)
