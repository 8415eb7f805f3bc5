"""What a mailbox is for, in the team's words: credentials with a label prefix go by it."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mailboxes that are there have no label: a credential with a prefix may use none of them."""
    op.execute(
        "ALTER TABLE mailboxes ADD COLUMN label text NOT NULL DEFAULT '' CHECK (char_length(label) <= 64)"
    )


def downgrade() -> None:
    """Forget the labels."""
    op.execute("ALTER TABLE mailboxes DROP COLUMN label")
