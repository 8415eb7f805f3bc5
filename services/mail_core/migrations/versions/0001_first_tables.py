"""First tables: mailboxes, subscriptions, messages, operations, the ledger of attempts, the label journal.

The statements are written out, not taken from `adapters/tables.py`: a migration must not change when
the tables do. A test holds the two against each other.
"""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

from services.common.migrations import isolate

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE mailboxes (
        id uuid PRIMARY KEY,
        team_id uuid NOT NULL,
        email_address text NOT NULL,
        state text NOT NULL,
        grant_sealed bytea NOT NULL,
        history_id text,
        last_scan_at timestamptz,
        message_count bigint NOT NULL DEFAULT 0,
        subscription_count bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (team_id, email_address)
    )
    """,
    """
    CREATE TABLE subscriptions (
        id uuid PRIMARY KEY,
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        key_kind text NOT NULL,
        key text NOT NULL,
        display_name text NOT NULL DEFAULT '',
        sender text NOT NULL DEFAULT '',
        message_count bigint NOT NULL,
        first_seen_at timestamptz NOT NULL,
        last_seen_at timestamptz NOT NULL,
        category_counts jsonb NOT NULL DEFAULT '{}',
        state text NOT NULL,
        asked_at timestamptz,
        plan jsonb NOT NULL,
        outcome_reason text NOT NULL DEFAULT '',
        UNIQUE (mailbox_id, key_kind, key)
    )
    """,
    "CREATE INDEX subscriptions_ranked_idx ON subscriptions (mailbox_id, message_count DESC, id)",
    """
    CREATE TABLE messages (
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        gmail_id text NOT NULL,
        subscription_id uuid REFERENCES subscriptions (id) ON DELETE SET NULL,
        received_at timestamptz NOT NULL,
        category text NOT NULL,
        PRIMARY KEY (mailbox_id, gmail_id)
    )
    """,
    "CREATE INDEX messages_subscription_id_idx ON messages (subscription_id)",
    """
    CREATE TABLE operations (
        id uuid PRIMARY KEY,
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        kind text NOT NULL,
        state text NOT NULL,
        request_id text NOT NULL,
        arguments jsonb NOT NULL,
        principal text NOT NULL,
        edge text NOT NULL,
        traceparent text NOT NULL DEFAULT '',
        progress_done bigint NOT NULL DEFAULT 0,
        progress_total bigint NOT NULL DEFAULT 0,
        progress_phase text NOT NULL DEFAULT '',
        is_cancel_requested boolean NOT NULL DEFAULT false,
        result jsonb,
        error_reason text NOT NULL DEFAULT '',
        error_message text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (team_id, request_id)
    )
    """,
    """
    CREATE TABLE attempts (
        id uuid PRIMARY KEY,
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        subscription_id uuid NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
        operation_id uuid NOT NULL REFERENCES operations (id),
        state text NOT NULL,
        method text NOT NULL,
        reason text NOT NULL DEFAULT '',
        explanation text NOT NULL DEFAULT '',
        http_status integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX attempts_newest_idx ON attempts (mailbox_id, created_at DESC, id)",
    "CREATE UNIQUE INDEX attempts_claimed_idx ON attempts (subscription_id) WHERE state = 'requested'",
    """
    CREATE TABLE used_targets (
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        target_hash bytea NOT NULL,
        use text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (mailbox_id, target_hash, use)
    )
    """,
    """
    CREATE TABLE label_changes (
        id uuid PRIMARY KEY,
        team_id uuid NOT NULL,
        mailbox_id uuid NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
        operation_id uuid NOT NULL REFERENCES operations (id),
        gmail_ids text[] NOT NULL,
        added text[] NOT NULL,
        removed text[] NOT NULL,
        is_applied boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)
ISOLATED = (
    "mailboxes",
    "subscriptions",
    "messages",
    "operations",
    "attempts",
    "used_targets",
    "label_changes",
)


def upgrade() -> None:
    """Make the tables, isolate them by team, and make the job queue's own."""
    for statement in TABLES:
        op.execute(statement)
    isolate(ISOLATED)
    # The queue holds ids only, so it needs no row-level security.
    raw = op.get_bind().connection.dbapi_connection
    if raw is not None:
        raw.cursor().execute(SchemaManager.get_schema())


def downgrade() -> None:
    """Leave nothing behind; only ever used on a database that nobody needs."""
    op.get_bind().execute(sa.text("DROP SCHEMA public CASCADE"))
