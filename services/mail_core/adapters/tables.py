"""The mail core's tables. Every one carries `team_id` and is under row-level security."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

_id = sa.Uuid(as_uuid=False)
_instant = sa.DateTime(timezone=True)


def _team() -> sa.Column[str]:
    return sa.Column("team_id", _id, nullable=False)


def _mailbox() -> sa.Column[str]:
    return sa.Column("mailbox_id", _id, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _head(of: str) -> sa.Column[bytes]:
    """Make a column of how a sealed value begins, for an index: row security keeps expressions from one.

    That is its form and the id of its key (`sealing.head_of`), or the first byte of what is not sealed.
    """
    computed = sa.Computed(
        f"CASE WHEN length({of}) < 2 OR get_byte({of}, 0) = 0 THEN substring({of} FROM 1 FOR 1)"
        f" ELSE substring({of} FROM 1 FOR 2 + get_byte({of}, 1)) END",
        persisted=True,
    )
    return sa.Column("sealed_head", sa.LargeBinary, computed)


def _now(name: str) -> sa.Column:
    return sa.Column(name, _instant, nullable=False, server_default=sa.func.now())


mailboxes = sa.Table(
    "mailboxes",
    metadata,
    sa.Column("id", _id, primary_key=True),
    _team(),
    sa.Column("email_address", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("grant_sealed", sa.LargeBinary, nullable=False),
    sa.Column("history_id", sa.Text),
    sa.Column("last_scan_at", _instant),
    # Kept up with the rows that they count: listing mailboxes must not count a large one each time.
    sa.Column("message_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("subscription_count", sa.BigInteger, nullable=False, server_default="0"),
    _now("created_at"),
    _text("label"),
    _head("grant_sealed"),
    sa.UniqueConstraint("team_id", "email_address"),
    sa.Index("mailboxes_sealed_head_idx", "sealed_head", "id", postgresql_include=["team_id"]),
)

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", _id, primary_key=True),
    _team(),
    _mailbox(),
    sa.Column("key_kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    _text("display_name"),
    _text("sender"),
    sa.Column("message_count", sa.BigInteger, nullable=False),
    sa.Column("first_seen_at", _instant, nullable=False),
    sa.Column("last_seen_at", _instant, nullable=False),
    sa.Column("category_counts", JSONB, nullable=False, server_default="{}"),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("asked_at", _instant),
    # The plan, judged by the newest message: method, reason and explanation, which every list shows.
    sa.Column("plan", JSONB, nullable=False),
    _text("outcome_reason"),
    # The link or address that the plan needs; NULL when there is none. A zero byte begins what is not
    # sealed yet (`sealing.plain_of`).
    sa.Column("target_sealed", sa.LargeBinary),
    _head("target_sealed"),
    sa.UniqueConstraint("mailbox_id", "key_kind", "key"),
    sa.Index("subscriptions_sealed_head_idx", "sealed_head", "id", postgresql_include=["team_id"]),
    sa.Index("subscriptions_ranked_idx", "mailbox_id", sa.text("message_count DESC"), "id"),
)

messages = sa.Table(
    "messages",
    metadata,
    _team(),
    sa.Column("mailbox_id", _id, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("gmail_id", sa.Text, primary_key=True),
    sa.Column("subscription_id", _id, sa.ForeignKey("subscriptions.id", ondelete="SET NULL"), index=True),
    sa.Column("received_at", _instant, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
)

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", _id, primary_key=True),
    _team(),
    _mailbox(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    # What was asked for: a repeated request id must ask for the same.
    sa.Column("arguments", JSONB, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("edge", sa.Text, nullable=False),
    _text("traceparent"),
    sa.Column("progress_done", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("progress_total", sa.BigInteger, nullable=False, server_default="0"),
    _text("progress_phase"),
    sa.Column("is_cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("result", JSONB),
    _text("error_reason"),
    _text("error_message"),
    _now("created_at"),
    _now("updated_at"),
    sa.Column("roots", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("right_issued_at", _instant),
    sa.UniqueConstraint("team_id", "request_id"),
    sa.Index(
        "operations_open_roots_idx",
        "roots",
        postgresql_using="gin",
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    ),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", _id, primary_key=True),
    _team(),
    _mailbox(),
    sa.Column("subscription_id", _id, sa.ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    sa.Column("operation_id", _id, sa.ForeignKey("operations.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    _text("reason"),
    _text("explanation"),
    sa.Column("http_status", sa.Integer, nullable=False, server_default="0"),
    _now("created_at"),
    _now("updated_at"),
    sa.Index("attempts_newest_idx", "mailbox_id", sa.text("created_at DESC"), "id"),
    # However many workers race, one subscription has one claimed attempt.
    sa.Index(
        "attempts_claimed_idx",
        "subscription_id",
        unique=True,
        postgresql_where=sa.text("state = 'requested'"),
    ),
)

used_targets = sa.Table(
    "used_targets",
    metadata,
    _team(),
    sa.Column("mailbox_id", _id, sa.ForeignKey("mailboxes.id", ondelete="CASCADE"), primary_key=True),
    # SHA-256 of an unsubscribe link or address: enough to recognise it, useless to anybody else.
    sa.Column("target_hash", sa.LargeBinary, primary_key=True),
    sa.Column("use", sa.Text, primary_key=True),
    _now("created_at"),
)

audit_outbox = sa.Table(
    "audit_outbox",
    metadata,
    # In the order of commits within a team; auth hears of them in this order.
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _team(),
    sa.Column("event", sa.LargeBinary, nullable=False),
    sa.Column("is_refused", sa.Boolean, nullable=False, server_default=sa.false()),
    _now("created_at"),
)

master_keys = sa.Table(
    "master_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    # Something known, sealed under the key: another key of the same name does not open it.
    sa.Column("canary", sa.LargeBinary, nullable=False),
    sa.Column("last_current_at", _instant, nullable=False),
)

master_key_holders = sa.Table(
    "master_key_holders",
    metadata,
    sa.Column("replica", _id, primary_key=True),
    sa.Column("key_ids", ARRAY(sa.Text), nullable=False),
    sa.Column("seals_under", sa.Text, nullable=False),
    sa.Column("seen_at", _instant, nullable=False),
)

label_changes = sa.Table(
    "label_changes",
    metadata,
    sa.Column("id", _id, primary_key=True),
    _team(),
    _mailbox(),
    sa.Column("operation_id", _id, sa.ForeignKey("operations.id"), nullable=False),
    sa.Column("gmail_ids", ARRAY(sa.Text), nullable=False),
    sa.Column("added", ARRAY(sa.Text), nullable=False),
    sa.Column("removed", ARRAY(sa.Text), nullable=False),
    sa.Column("is_applied", sa.Boolean, nullable=False, server_default=sa.false()),
    _now("created_at"),
)
