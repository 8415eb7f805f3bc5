"""The audit log: one hash chain for each team, append-only for the role that serves.

The role may add events and read its team's, nothing else (`common.migrations` takes the rest away). A
trigger lets an event in only at the place behind the head and moves the head, so a gap cannot arise even by
a mistake of ours. What is older than the days of retention goes by one function, which leaves an anchor.
"""

from alembic import op

from services.common.migrations import isolate

revision = "0003"
down_revision = "0002"

_TABLES = """
CREATE TABLE audit_heads (
    team_id uuid PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(hash) = 32),
    anchor_sequence bigint NOT NULL DEFAULT 0,
    anchor_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(anchor_hash) = 32)
);

-- No reference to a team: what happened outlives the one that it happened to.
CREATE TABLE audit_events (
    team_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    id uuid NOT NULL,
    event_time timestamptz NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    actor text NOT NULL,
    credential text NOT NULL,
    edge text NOT NULL,
    request_id text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('ok', 'denied', 'failed')),
    reason text NOT NULL,
    facts jsonb NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (team_id, sequence),
    UNIQUE (team_id, id)
);

CREATE INDEX audit_events_by_action ON audit_events (team_id, action text_pattern_ops, sequence DESC);
CREATE INDEX audit_events_by_actor ON audit_events (team_id, actor, sequence DESC);
CREATE INDEX audit_events_by_time ON audit_events (team_id, event_time);
"""

# The owner of the schema, which nobody serves as, works through the functions below.
_OWNER = """
CREATE POLICY audit_heads_owner ON audit_heads TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY audit_events_owner ON audit_events TO CURRENT_USER USING (true) WITH CHECK (true);
"""

_OPEN = """
CREATE FUNCTION audit_open(team uuid, OUT head_sequence bigint, OUT head_hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF team IS DISTINCT FROM nullif(current_setting('mailwarden.team_id', true), '')::uuid THEN
        RAISE EXCEPTION 'the transaction is of another team' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit_heads (team_id) VALUES (team) ON CONFLICT DO NOTHING;
    SELECT sequence, hash INTO head_sequence, head_hash FROM audit_heads WHERE team_id = team FOR UPDATE;
END $$;
"""

_FOLLOW = """
CREATE FUNCTION audit_follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE audit_heads SET sequence = NEW.sequence, hash = NEW.hash
    WHERE team_id = NEW.team_id AND sequence = NEW.sequence - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the event is not the next of its chain'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_events_follow BEFORE INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_follow();
"""

_TEAMS = """
CREATE FUNCTION audit_teams() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
'SELECT team_id FROM audit_heads ORDER BY team_id';
"""

# Only ever the oldest events of a chain, so that what is left begins behind one place: the anchor.
_PRUNE = """
CREATE FUNCTION audit_prune(days integer, OUT event_count bigint, OUT team_count bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    head audit_heads;
    last bigint;
    removed bigint;
BEGIN
    event_count := 0;
    team_count := 0;
    IF days NOT BETWEEN 1 AND 365 THEN
        RAISE EXCEPTION 'events are kept for 1 to 365 days' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT pg_try_advisory_xact_lock(726003) THEN
        RETURN;
    END IF;
    FOR head IN SELECT * FROM audit_heads WHERE sequence > anchor_sequence ORDER BY team_id FOR UPDATE LOOP
        SELECT coalesce(min(sequence) - 1, head.sequence) INTO last FROM audit_events
        WHERE team_id = head.team_id AND event_time >= now() - make_interval(days => days);
        UPDATE audit_heads SET anchor_sequence = last,
            anchor_hash = (SELECT hash FROM audit_events WHERE team_id = head.team_id AND sequence = last)
        WHERE team_id = head.team_id AND last > anchor_sequence
            AND EXISTS (SELECT 1 FROM audit_events WHERE team_id = head.team_id AND sequence = last);
        CONTINUE WHEN NOT FOUND;
        DELETE FROM audit_events WHERE team_id = head.team_id AND sequence <= last;
        GET DIAGNOSTICS removed = ROW_COUNT;
        event_count := event_count + removed;
        team_count := team_count + 1;
    END LOOP;
END $$;
"""


def upgrade() -> None:
    """Make the log."""
    op.execute(_TABLES)
    isolate(["audit_heads", "audit_events"])
    op.execute(_OWNER)
    for function in (_OPEN, _FOLLOW, _TEAMS, _PRUNE):
        op.execute(function)
    for signature in ("audit_open(uuid)", "audit_follow()", "audit_teams()", "audit_prune(integer)"):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
