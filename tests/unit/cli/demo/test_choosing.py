"""Which lists the demo ends."""

from typing import Any

import pytest

from services.cli.demo.choosing import choose, next_ones, way_of


def subscription(number: int, method: str, reason: str = "", state: str = "candidate") -> dict[str, Any]:
    return {"id": str(number), "method": method, "method_reason": reason, "state": state}


MAILBOX = [
    subscription(1, "one_click"),
    subscription(2, "none", "NO_LIST_UNSUBSCRIBE"),
    subscription(3, "mailto"),
    subscription(4, "one_click", state="accepted"),
    subscription(5, "one_click"),
    subscription(6, "web_page"),
    subscription(7, "none", "UNSAFE_LINK"),
    subscription(8, "one_click"),
    subscription(9, "mailto"),
]


def test_every_kind_is_chosen_the_largest_lists_first() -> None:
    """Two by one-click, one of each other kind; what was ended before is left alone."""
    assert choose(MAILBOX).ids == ["1", "5", "3", "6", "7", "2"]
    assert choose(MAILBOX).missing == ()


def test_kinds_that_a_mailbox_does_not_have_are_named() -> None:
    """Real mail of another age has no one-click; the report says so."""
    choice = choose([subscription(1, "mailto")])
    assert choice.ids == ["1"]
    assert choice.missing == ("one_click", "web_page", "unsafe", "none")


def test_an_empty_mailbox_has_nothing_to_choose() -> None:
    """And that is no error."""
    assert choose([]).ids == []


def test_agents_go_on_where_rest_stopped() -> None:
    """Each protocol ends a list of its own."""
    chosen = next_ones(MAILBOX, taken={"1", "5"}, ways=("one_click", "mailto", "web_page"))
    assert [item["id"] for item in chosen] == ["8", "3", "6"]


@pytest.mark.parametrize(
    ("item", "way"),
    [
        ({"method": "mailto", "reason": "x"}, "mailto"),
        ({"method": "none", "reason": "UNSAFE_LINK"}, "unsafe"),
        ({"method": "none", "reason": "NO_LIST_UNSUBSCRIBE"}, "none"),
    ],
)
def test_an_unsafe_way_is_told_from_none_at_all(item: dict[str, str], way: str) -> None:
    """Outcomes name their reason `reason`, subscriptions `method_reason`."""
    assert way_of(item) == way
