"""Operations and reports as they are stored."""

import json
from dataclasses import replace

import pytest

from services.mail_core.domain.operation import (
    CategoryCount,
    OperationError,
    OperationKind,
    OperationState,
    Phase,
    Progress,
    ScanReport,
    UnsubscribeOutcome,
    UnsubscribeReport,
    report_from_json,
)
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.domain.unsubscribe_plan import Method

SCAN = ScanReport(
    incremental=True,
    listed_count=9,
    scanned_count=8,
    failed_count=1,
    categories=(CategoryCount("LINKEDIN", "LinkedIn", 3), CategoryCount("OTHER", "", 5)),
    quota_units=165,
)
UNSUBSCRIBE = UnsubscribeReport(
    dry_run=True,
    outcomes=(
        UnsubscribeOutcome(
            "s1",
            "News",
            SubscriptionState.NEEDS_PERSON,
            Method.WEB_PAGE,
            reason="DKIM_NOT_COVERING",
        ),
    ),
)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (SCAN, ScanReport.from_json),
        (ScanReport(), ScanReport.from_json),
        (UNSUBSCRIBE, UnsubscribeReport.from_json),
        (Progress(3, 9, Phase.FETCHING), Progress.from_json),
        (OperationError("GMAIL_QUOTA", "Later."), OperationError.from_json),
        (SCAN, lambda stored: report_from_json(OperationKind.SCAN, stored)),
        (UNSUBSCRIBE, lambda stored: report_from_json(OperationKind.UNSUBSCRIBE, stored)),
    ],
)
def test_what_is_stored_comes_back_the_same(value, read):
    """Through real JSON, words and all."""
    assert read(json.loads(json.dumps(value.to_json()))) == value


def test_the_page_for_a_person_is_shown_and_not_stored():
    """It is a link of one recipient: the subscription has it, sealed."""
    (outcome,) = UNSUBSCRIBE.outcomes
    shown = replace(UNSUBSCRIBE, outcomes=(replace(outcome, web_page_url="https://news.example/u"),))
    assert shown.to_json() == UNSUBSCRIBE.to_json()
    assert "news.example" not in repr(shown)


@pytest.mark.parametrize("read", [ScanReport.from_json, UnsubscribeReport.from_json, Progress.from_json])
def test_rows_of_other_versions_are_read(read):
    """A field that a newer version added is left out, one that an older lacked has its default."""
    assert read({"a_field_of_tomorrow": 1}) == read({})


def test_counting_adds_one_message_for_each_category():
    """Counts keep the order of the rules."""
    counted = SCAN.counting(["OTHER", "LINKEDIN", "OTHER"])
    assert [(count.category, count.count) for count in counted.categories] == [("LINKEDIN", 4), ("OTHER", 7)]
    with pytest.raises(KeyError):
        SCAN.counting(["NONSENSE"])


def test_the_last_three_states_are_final():
    """A watcher stops at the first final state."""
    assert [state for state in OperationState if state.is_final] == [
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.CANCELLED,
    ]


def test_words_and_fields_are_those_of_the_contract():
    """Stored names and wire names are the same."""
    from protos.mail.v1 import resources_pb2 as pb

    def words(enum, prefix):
        return {name.removeprefix(prefix).lower() for name in list(enum.keys())} - {"unspecified"}

    assert words(pb.OperationState, "OPERATION_STATE_") == set(OperationState)
    assert words(pb.OperationKind, "OPERATION_KIND_") == set(OperationKind)
    assert words(pb.UnsubscribeMethod, "UNSUBSCRIBE_METHOD_") == set(Method)
    for ours, theirs in [
        (ScanReport, pb.ScanReport),
        (UnsubscribeReport, pb.UnsubscribeReport),
        (UnsubscribeOutcome, pb.UnsubscribeOutcome),
        (CategoryCount, pb.CategoryCount),
        (Progress, pb.Progress),
        (OperationError, pb.OperationError),
    ]:
        assert list(ours.__dataclass_fields__) == [field.name for field in theirs.DESCRIPTOR.fields]
