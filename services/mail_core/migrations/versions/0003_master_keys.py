"""Which master keys there are, who holds them, and a way to find what is sealed under the old ones."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE master_keys (
    key_id text PRIMARY KEY CHECK (char_length(key_id) BETWEEN 1 AND 64),
    canary bytea NOT NULL,
    last_current_at timestamptz NOT NULL
);

CREATE TABLE master_key_holders (
    replica uuid PRIMARY KEY,
    key_ids text[] NOT NULL,
    seals_under text NOT NULL,
    seen_at timestamptz NOT NULL
);
"""

# These belong to no team, and no call for a team sees them. What is sealed is found across teams by
# whoever seals it anew, and written team by team.
_POLICIES = """
ALTER TABLE master_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE master_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE master_key_holders ENABLE ROW LEVEL SECURITY;
ALTER TABLE master_key_holders FORCE ROW LEVEL SECURITY;
CREATE POLICY master_keys_upkeep ON master_keys
    USING (current_setting('mailwarden.key_upkeep', true) = 'on');
CREATE POLICY master_key_holders_upkeep ON master_key_holders
    USING (current_setting('mailwarden.key_upkeep', true) = 'on');
CREATE POLICY mailboxes_key_upkeep ON mailboxes FOR SELECT
    USING (current_setting('mailwarden.key_upkeep', true) = 'on');
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_TABLES)
    op.execute(_POLICIES)


def downgrade() -> None:
    """Take them away; only ever used on a database that nobody needs."""
    op.execute("DROP POLICY mailboxes_key_upkeep ON mailboxes")
    op.execute("DROP TABLE master_keys, master_key_holders")
