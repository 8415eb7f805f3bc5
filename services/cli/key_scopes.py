"""The scopes of the keys that an operator makes."""

from typing import Final

MAIL_SCOPES: Final = (
    "availability:read",
    "available_meeting_intervals:read",
    "mail:scan",
    "unsubscribe:digest",
    "unsubscribe:execute",
    "unsubscribe:read",
)
ADMIN_SCOPES: Final = (*MAIL_SCOPES, "audit:read", "team:admin", "team:read")
"""What the key of whoever governs a team holds."""
