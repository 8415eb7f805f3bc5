"""What the right of whoever asked for an operation hangs on, so that work ends with the right to it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A revocation names a key, a grant or a team, not always whose it is: what hangs on it is found across teams,
# by id alone, and stopped team by team.
_GROW = """
ALTER TABLE operations ADD COLUMN roots text[] NOT NULL DEFAULT '{}';
CREATE INDEX operations_open_roots_idx ON operations USING gin (roots) WHERE state IN ('queued', 'running');
CREATE POLICY operations_revocation_upkeep ON operations FOR SELECT
    USING (current_setting('mailwarden.revocation_upkeep', true) = 'on');
"""


def upgrade() -> None:
    """Operations that are there hang on nothing that is known: they run on."""
    op.execute(_GROW)


def downgrade() -> None:
    """Take it away; only ever used on a database that nobody needs."""
    op.execute("DROP POLICY operations_revocation_upkeep ON operations")
    op.execute("ALTER TABLE operations DROP COLUMN roots")
