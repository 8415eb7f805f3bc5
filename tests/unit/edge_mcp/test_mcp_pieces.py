"""The small parts of the MCP edge: text, progress, settings, arguments, error results."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError

from protos.mail.v1 import resources_pb2
from services.common.errors import TABLE, AppError, FieldError, Kind
from services.edge_mcp.arguments import Arguments
from services.edge_mcp.outputs import ERROR_SCHEMA
from services.edge_mcp.progress import RisingProgress
from services.edge_mcp.settings import McpSettings
from services.edge_mcp.text import counted, interval, quoted, word, zone_named
from services.edge_mcp.tool_errors import arguments_invalid, error_content, error_result, error_text
from services.edge_mcp.tools.available_meeting_intervals import IntervalsArguments
from services.edge_mcp.tools.check_availability import AvailabilityArguments
from services.edge_mcp.tools.scan_mailbox import ScanArguments

FILES = {"TLS_CERT_FILE": "a", "TLS_KEY_FILE": "b", "TLS_CA_FILE": "c"}
ADDRESSES = {"AUTH_ADDRESS": "127.0.0.1:1", "MAIL_CORE_ADDRESS": "127.0.0.1:2"}


def _span(start: int, end: int) -> resources_pb2.Interval:
    return resources_pb2.Interval(start_time=Timestamp(seconds=start), end_time=Timestamp(seconds=end))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Weekly News", '"Weekly News"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a\r\nb\x00c\u2028d\u202ee", '"a b c d e"'),
        ("café ☕", '"café ☕"'),
        ("x" * 200, '"' + "x" * 79 + '…"'),
        ("", '""'),
    ],
)
def test_names_of_strangers_stay_on_one_quoted_line(name: str, shown: str) -> None:
    """No control, no direction mark, no break-out, bounded."""
    assert quoted(name) == shown


def test_intervals_read_as_a_person_writes_them() -> None:
    """One day is said once; across midnight and across a change of the clock both ends are whole."""
    paris = zone_named("Europe/Paris")
    assert interval(_span(1_773_129_600, 1_773_131_400), paris) == "Tue 2026-03-10 09:00-09:30 +01:00"
    assert interval(_span(1_773_180_000, 1_773_187_200), paris) == (
        "Tue 2026-03-10 23:00 +01:00 to Wed 2026-03-11 01:00 +01:00"
    )
    assert interval(_span(1_774_742_400, 1_774_749_600), paris) == (
        "Sun 2026-03-29 01:00 +01:00 to Sun 2026-03-29 04:00 +02:00"
    )


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "\x00"])
def test_an_unknown_zone_is_shown_in_utc(name: str) -> None:
    """The core judged the zone; this only renders."""
    assert interval(_span(1_773_129_600, 1_773_131_400), zone_named(name)).endswith("+00:00")


def test_words_and_counts() -> None:
    """Numbers of enums that we do not know yet are said to be unknown."""
    assert word(1, [("one_click", 1)]) == "one click"
    assert word(9, [("one_click", 1)]) == "unknown"
    assert [counted(n, "list") for n in (0, 1, 1200)] == ["0 lists", "1 list", "1,200 lists"]


async def test_progress_only_ever_rises() -> None:
    """Phases that count anew go on from the last; repeats are not sent (MCP, progress)."""
    sent: list[tuple[float, float | None, str | None]] = []

    async def notify(progress: float, total: float | None, message: str | None) -> None:
        sent.append((progress, total, message))

    report = RisingProgress(notify)
    for done, total, phase in [
        (0, 0, ""),
        (0, 0, "listing"),
        (50, 0, "listing"),
        (50, 0, "listing"),
        (0, 100, "fetching"),
        (10, 100, "fetching"),
        (90, 80, "fetching"),
        (150, 150, "labelling"),
    ]:
        progress = resources_pb2.Progress(done=done, total=total, phase=phase)
        await report(resources_pb2.Operation(progress=progress))
    assert sent == [
        (0, None, None),
        (50, None, "listing"),
        (60, 150, "fetching"),
        (140, 140, "fetching"),
        (150, 150, "labelling"),
    ]


@pytest.mark.promise("errors.one-table")
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_error_has_the_listed_shape(kind: Kind) -> None:
    """Nothing more and nothing less than the error schema that tools advertise."""
    error = AppError(kind, "SOME_REASON", "What happened.", fields=(FieldError("a", "B", "c"),))
    content = error_content(error, "request-1")
    assert sorted(content) == sorted(ERROR_SCHEMA["required"])
    assert content["retryable"] is TABLE[kind].retryable
    assert error_result(error, "request-1").is_error


def test_an_error_says_how_long_to_wait() -> None:
    """With a time when there is one, without when there is none."""
    waiting = AppError(Kind.UNAVAILABLE, "GMAIL_DOWN", "Down.", retry_after_s=1.5)
    assert "Retry in 1.5 s." in error_text(waiting, "r")
    assert "may succeed later" in error_text(AppError(Kind.ABORTED, "BUSY", "Busy."), "r")
    assert "later" not in error_text(AppError(Kind.NOT_FOUND, "NONE", "None."), "r")


def test_an_argument_error_holds_no_value_and_few_fields() -> None:
    """A thousand wrong arguments are ten lines, and none repeats what was sent."""
    with pytest.raises(ValidationError) as caught:
        ScanArguments.read({f"secret value {n}": "sesame" for n in range(1000)})
    error = arguments_invalid(caught.value)
    assert len(error.fields) == 10
    assert {field.field for field in error.fields} == {"?"}
    assert "sesame" not in repr(error.fields)


def test_input_schemas_are_closed_and_spare_with_words() -> None:
    """Unknown members are refused, required ones named, titles left out."""
    schema = IntervalsArguments.schema_for_clients()
    assert schema["required"] == ["start", "end"]
    assert schema["additionalProperties"] is False
    assert "title" not in str(schema)
    assert schema["properties"]["duration_minutes"] == {
        "type": "integer",
        "minimum": 5,
        "maximum": 1440,
        "default": 30,
        "description": "Length of the meeting.",
    }
    assert schema["properties"]["start"]["format"] == "date-time"


def test_our_own_name_for_a_time_wins_over_the_contracts() -> None:
    """Both at once is one too many."""
    times = {"start": "2026-03-10T09:00:00Z", "end": "2026-03-10T10:00:00Z"}
    with pytest.raises(ValidationError):
        AvailabilityArguments.read({**times, "start_time": times["start"]})


def test_arguments_of_a_tool_without_times_are_taken_as_they_are() -> None:
    """`start_time` means nothing to a scan."""
    with pytest.raises(ValidationError):
        ScanArguments.read({"start_time": "2026-03-10T09:00:00Z"})
    assert isinstance(ScanArguments.read({"mailbox_id": None}), Arguments)


def test_hosts_are_loopback_our_own_and_the_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a port stands for every port; one with a port for that one."""
    more = {
        "MCP_ALLOWED_HOSTS": "mcp.internal, fixed.internal:8443,",
        "MCP_RESOURCE_SERVER_URL": "https://mcp.example.com/mcp",
        "PUBLIC_URL": "https://mail.example.com:444",
        "MCP_ALLOWED_ORIGINS": "https://app.example.com",
    }
    for name, value in {**FILES, **ADDRESSES, **more}.items():
        monkeypatch.setenv(name, value)
    security = McpSettings().transport_security()  # type: ignore[call-arg]
    assert {"localhost:*", "[::1]", "[::1]:*", "mcp.internal:*", "mcp.example.com"} <= set(
        security.allowed_hosts
    )
    assert "fixed.internal:8443" in security.allowed_hosts
    assert "fixed.internal:8443:*" not in security.allowed_hosts
    assert "mail.example.com:444" in security.allowed_hosts
    assert "mail.example.com:*" not in security.allowed_hosts
    assert "http://localhost:*" in security.allowed_origins
    assert "https://app.example.com" in security.allowed_origins


def test_mutations_are_off_and_the_wait_is_bounded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the runbook has it."""
    for name, value in {**FILES, **ADDRESSES}.items():
        monkeypatch.setenv(name, value)
    settings = McpSettings()  # type: ignore[call-arg]
    assert settings.mcp_enable_mutation_tools is False
    assert settings.mcp_operation_wait_s == 55
