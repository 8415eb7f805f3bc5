"""Unsubscribe links and addresses leave the plan for a column of sealed values.

A migration has no key: what was in plain is only marked, by a zero byte, and `mailwarden secrets reseal`
seals it. Results of operations lose the page for a person, which is shown from the subscription.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TARGETS = """
ALTER TABLE subscriptions ADD COLUMN target_sealed bytea;
ALTER TABLE subscriptions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE operations NO FORCE ROW LEVEL SECURITY;
UPDATE subscriptions SET
    target_sealed = CASE WHEN plan->>'method' <> 'none' THEN
        decode('00', 'hex')
        || convert_to((plan - ARRAY['method', 'reason', 'explanation'])::text, 'UTF8')
    END,
    plan = plan - ARRAY['one_click_url', 'mailto', 'web_page_url', 'alias'];
UPDATE operations SET result = jsonb_set(
    result, '{outcomes}', (
        SELECT coalesce(jsonb_agg(outcome - 'web_page_url' ORDER BY position), '[]')
        FROM jsonb_array_elements(result->'outcomes') WITH ORDINALITY AS listed (outcome, position)
    )
) WHERE kind = 'unsubscribe' AND jsonb_typeof(result->'outcomes') = 'array';
ALTER TABLE subscriptions FORCE ROW LEVEL SECURITY;
ALTER TABLE operations FORCE ROW LEVEL SECURITY;
CREATE POLICY subscriptions_key_upkeep ON subscriptions FOR SELECT
    USING (current_setting('mailwarden.key_upkeep', true) = 'on');
"""


def upgrade() -> None:
    """Mark what is there; lists see no difference."""
    op.execute(_TARGETS)


def downgrade() -> None:
    """Forget the links: the next scan finds those of new mail. Only for a database that nobody needs."""
    op.execute("DROP POLICY subscriptions_key_upkeep ON subscriptions")
    op.execute("ALTER TABLE subscriptions DROP COLUMN target_sealed")
