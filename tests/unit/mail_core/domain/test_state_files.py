"""State files of the personal agent: every link in them counts, wherever it stands."""

import json

import pytest

from services.mail_core.domain.errors import DomainError
from services.mail_core.domain.state_files import targets_in


@pytest.mark.parametrize(
    ("content", "targets"),
    [
        ("", set()),
        (" \n", set()),
        ("{}", set()),
        ('["https://a.example/u", "https://a.example/u", "no link", 1, null]', {"https://a.example/u"}),
        ('{"mailto:stop@a.example": {"method": "mailto"}}', {"mailto\nstop@a.example\nunsubscribe\n"}),
        ('{"x": [{"link": "HTTP://a.example"}]}', {"HTTP://a.example"}),
        (json.dumps(["https://a.example/" + "a" * 9000]), set()),  # longer than any real link
    ],
)
def test_links_are_found_in_any_layout(content, targets):
    """The layout is nowhere written down."""
    assert set(targets_in(content, "f")) == targets


@pytest.mark.parametrize(
    "content",
    ["{", "[" * 100_000, json.dumps([f"https://a.example/{number}" for number in range(50_001)])],
)
def test_a_file_that_cannot_be_one_is_refused(content):
    """Broken, absurdly deep, or absurdly long."""
    with pytest.raises(DomainError) as caught:
        targets_in(content, "unsubscribed_methods_json")
    assert (caught.value.reason, caught.value.field) == ("STATE_FILE_INVALID", "unsubscribed_methods_json")
