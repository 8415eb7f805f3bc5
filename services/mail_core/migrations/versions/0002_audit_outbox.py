"""Audit events on their way to auth: written with what they record, taken away once auth has them."""

from alembic import op

from services.common.migrations import isolate

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE audit_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id uuid NOT NULL,
    event bytea NOT NULL,
    is_refused boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""

# The relay works for all teams at once, and sees nothing but this table.
_RELAY = """
CREATE POLICY audit_outbox_relay ON audit_outbox
    USING (current_setting('mailwarden.audit_relay', true) = 'on')
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE)
    isolate(["audit_outbox"])
    op.execute(_RELAY)


def downgrade() -> None:
    """Take it away; only ever used on a database that nobody needs."""
    op.execute("DROP TABLE audit_outbox")
