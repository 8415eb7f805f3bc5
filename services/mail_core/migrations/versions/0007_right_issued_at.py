"""When the right was stated that an operation hangs on: what was revoked after that ends the operation."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of operations that are there it is not known: they were asked for soon after, which stands for it."""
    op.execute("ALTER TABLE operations ADD COLUMN right_issued_at timestamptz")


def downgrade() -> None:
    """Take it away; only ever used on a database that nobody needs."""
    op.execute("ALTER TABLE operations DROP COLUMN right_issued_at")
