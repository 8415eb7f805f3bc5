"""What Google's refusals mean to us: one table from status and reason to handling and error.

An upstream's 401 is never ours: it means that the mailbox's grant has ended.
Sources: Gmail API "Resolve errors" and "Usage limits", Calendar API "Handle API errors".
"""

import contextlib
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import orjson

from services.common.errors import AppError, Kind


class Handling(Enum):
    """What to do about a failed try."""

    RETRY = "retry"
    REFRESH = "refresh"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Row:
    """How a refusal is handled, and how it reads when it stays.

    In `reason` and `message`, `{api}` is GMAIL or GOOGLE and `{name}` is Gmail or Google Calendar.
    """

    handling: Handling
    kind: Kind
    reason: str
    message: str
    wait_s: float | None = None


_QUOTA: Final = Row(
    Handling.RETRY, Kind.RESOURCE_EXHAUSTED, "{api}_QUOTA", "{name}'s quota for this account is used up.", 60
)
_DAY_QUOTA: Final = Row(
    Handling.STOP, Kind.RESOURCE_EXHAUSTED, "{api}_QUOTA", "{name}'s quota for today is used up.", 3600
)
_DOWN: Final = Row(Handling.RETRY, Kind.UNAVAILABLE, "{api}_DOWN", "{name} does not answer as it should.", 30)
_REVOKED: Final = Row(
    Handling.REFRESH,
    Kind.FAILED_PRECONDITION,
    "GMAIL_GRANT_REVOKED",
    "Google no longer accepts the grant of this mailbox. Connect the account again.",
)
_REFUSED: Final = Row(Handling.STOP, Kind.FAILED_PRECONDITION, "{api}_REFUSED", "{name} refused the request.")
_NO_SCOPE: Final = Row(
    Handling.STOP,
    Kind.FAILED_PRECONDITION,
    "{api}_REFUSED",
    "The grant of this mailbox does not cover {name}. Connect the account again and allow it.",
)
_NOT_ENABLED: Final = Row(
    Handling.STOP,
    Kind.FAILED_PRECONDITION,
    "{api}_REFUSED",
    "{name} is not enabled for this account or project.",
)
_ABSENT: Final = Row(
    Handling.STOP, Kind.NOT_FOUND, "{api}_NOT_FOUND", "{name} does not know what was asked for."
)
_CONFLICT: Final = Row(Handling.STOP, Kind.ABORTED, "{api}_CONFLICT", "{name} met a conflicting change.", 1)

_ANY: Final = "*"

TABLE: Final[Mapping[tuple[int, str], Row]] = {
    (400, "failedPrecondition"): _NOT_ENABLED,
    (400, _ANY): _REFUSED,
    (401, _ANY): _REVOKED,
    (403, "rateLimitExceeded"): _QUOTA,
    (403, "userRateLimitExceeded"): _QUOTA,
    (403, "RATE_LIMIT_EXCEEDED"): _QUOTA,
    (403, "quotaExceeded"): _DAY_QUOTA,
    (403, "dailyLimitExceeded"): _DAY_QUOTA,
    (403, "insufficientPermissions"): _NO_SCOPE,
    (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"): _NO_SCOPE,
    (403, "accessNotConfigured"): _NOT_ENABLED,
    (403, "SERVICE_DISABLED"): _NOT_ENABLED,
    (403, "domainPolicy"): _NOT_ENABLED,
    (403, _ANY): _REFUSED,
    (404, _ANY): _ABSENT,
    (408, _ANY): _DOWN,
    (409, _ANY): _CONFLICT,
    (410, _ANY): _ABSENT,
    (429, "dailyLimitExceeded"): _DAY_QUOTA,
    (429, _ANY): _QUOTA,
}


class GoogleRefusedError(AppError):
    """A refusal by Google, already in our words. `status` 0 means that no answer came."""

    def __init__(
        self,
        row: Row,
        api: str,
        status: int,
        google_reason: str = "",
        retry_after_s: float | None = None,
        *,
        was_sent: bool = True,
    ) -> None:
        words = {"api": "GOOGLE" if api == "calendar" else "GMAIL", "name": _NAMES.get(api, "Gmail")}
        super().__init__(
            row.kind,
            row.reason.format(**words),
            row.message.format(**words),
            retry_after_s=retry_after_s if retry_after_s is not None else row.wait_s,
        )
        self.handling = row.handling
        self.status = status
        self.google_reason = google_reason
        self.told_to_wait_s = retry_after_s
        self._was_sent = was_sent

    @property
    def is_quota(self) -> bool:
        """Whether Google asks to slow down."""
        return self.kind is Kind.RESOURCE_EXHAUSTED

    @property
    def did_nothing(self) -> bool:
        """Whether Google surely did not act, so that even a send may be tried again."""
        return not self._was_sent or self.status in _TURNED_AWAY


_TURNED_AWAY: Final = (401, 403, 429)
_NAMES: Final = {"gmail": "Gmail", "calendar": "Google Calendar"}


def refusal(
    api: str, status: int, headers: Mapping[str, str], content: bytes, now: datetime
) -> GoogleRefusedError:
    """Read an answer that is not 2xx. `api` is `gmail` or `calendar`; header names are in lower case."""
    reasons, message = _read_error(content)
    reason = next((reason for reason in reasons if (status, reason) in TABLE), reasons[0] if reasons else "")
    return GoogleRefusedError(
        _row(status, reason), api, status, reason, _told_to_wait_s(headers, message, now)
    )


def no_answer(api: str, *, was_sent: bool = True) -> GoogleRefusedError:
    """Make the refusal that stands for a broken connection or an answer that cannot be read."""
    return GoogleRefusedError(_DOWN, api, 0, was_sent=was_sent)


def grant_revoked() -> GoogleRefusedError:
    """Make the refusal that stands for a grant that the token endpoint no longer honours."""
    return GoogleRefusedError(replace(_REVOKED, handling=Handling.STOP), "gmail", 401, "invalid_grant")


def _row(status: int, reason: str) -> Row:
    found = TABLE.get((status, reason)) or TABLE.get((status, _ANY))
    if found is not None:
        return found
    return _REFUSED if 400 <= status < 500 else _DOWN  # noqa: PLR2004  HTTP's own classes


def _read_error(content: bytes) -> tuple[list[str], str]:
    """Find Google's reasons, most specific first, and its message, in either of its error formats."""
    error: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        answer = orjson.loads(content)
        error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return [], ""
    entries = [*_entries(error, "errors"), *_entries(error, "details")]
    reasons = [entry["reason"] for entry in entries if isinstance(entry.get("reason"), str)]
    message = error.get("message")
    return reasons, message if isinstance(message, str) else ""


def _entries(error: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = error.get(name)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


_RETRY_AFTER_TIME: Final = re.compile(r"[Rr]etry after (\d{4}-\d\d-\d\dT[\d:.]+Z)")


def _told_to_wait_s(headers: Mapping[str, str], message: str, now: datetime) -> float | None:
    """Read Retry-After (seconds or an HTTP date), or the instant in Gmail's message. At most an hour."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), _MAX_WAIT_S))
    instant = _http_date(text) or _instant_in(message)
    return None if instant is None else min(max((instant - now).total_seconds(), 0.0), _MAX_WAIT_S)


_MAX_WAIT_S: Final = 3600


def _http_date(text: str) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _instant_in(message: str) -> datetime | None:
    found = _RETRY_AFTER_TIME.search(message)
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(found[1]) if found else None
    return None
