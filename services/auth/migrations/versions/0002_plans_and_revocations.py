"""Plans and switches of teams, the history of keys, and the log of revocations."""

from alembic import op

from services.common.migrations import isolate

revision = "0002"
down_revision = "0001"

_DEFAULT_TEAM = "b5e7a0c2-61f4-4d3b-9a58-0c7d2e9f1a46"

_GROWN = f"""
ALTER TABLE teams ADD COLUMN plan text NOT NULL DEFAULT 'free';
ALTER TABLE teams ADD COLUMN disabled_at timestamptz;
-- The owner of the table is confined as well: it sees the team that it names.
SELECT set_config('mailwarden.team_id', '{_DEFAULT_TEAM}', true);
UPDATE teams SET plan = 'enterprise' WHERE id = '{_DEFAULT_TEAM}';
SELECT set_config('mailwarden.team_id', '', true);

ALTER TABLE api_keys ADD COLUMN creator text NOT NULL DEFAULT 'operator';
ALTER TABLE api_keys ADD COLUMN replaced_by uuid;
DROP INDEX api_keys_team_id;
CREATE INDEX api_keys_team_id ON api_keys (team_id, created_at DESC, id DESC);

CREATE TABLE revocations (
    id bigserial PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 512),
    revoked_at timestamptz NOT NULL
);
"""  # noqa: S608  our constant

# Whoever follows the log by id must never meet a smaller id later: writers go one after the other, from
# before the id is drawn until the commit. The time is that of the writing, not of the transaction's start.
_IN_ORDER = """
CREATE FUNCTION revocations_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(726002);
    RETURN NULL;
END $$;
CREATE TRIGGER revocations_in_order BEFORE INSERT ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION revocations_in_order();

CREATE FUNCTION revocations_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revoked_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER revocations_stamp BEFORE INSERT ON revocations
    FOR EACH ROW EXECUTE FUNCTION revocations_stamp();

CREATE FUNCTION revocations_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mailwarden_revocations', '');
    RETURN NULL;
END $$;
CREATE TRIGGER revocations_announce AFTER INSERT ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION revocations_announce();
"""

# What serves every team reads across teams, and says so in its transaction. It can write nothing that way.
_ACROSS_TEAMS = """
CREATE POLICY revocations_followed ON revocations FOR SELECT
    USING (current_setting('mailwarden.across_teams', true) = 'revocations');
CREATE POLICY teams_listed ON teams FOR SELECT
    USING (current_setting('mailwarden.across_teams', true) = 'teams');
"""


def upgrade() -> None:
    """Grow the tables and make the log."""
    op.execute(_GROWN)
    op.execute(_IN_ORDER)
    isolate(["revocations"])
    op.execute(_ACROSS_TEAMS)
