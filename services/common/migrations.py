"""Schema changes of one service, run as the role that owns its schema.

The service itself connects as another role, which owns nothing and cannot bypass row-level security.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from services.common import telemetry
from services.common.database import TEAM_SETTING, sqlalchemy_url
from services.common.settings import MigrationSettings

CURRENT_TEAM: Final = f"nullif(current_setting('{TEAM_SETTING}', true), '')::uuid"
"""SQL for the team of the transaction; NULL, which equals nothing, when none was set."""


def migrate(service: str, folder: Path, settings: MigrationSettings) -> None:
    """Bring a service's database to the newest revision, or leave with a message that says why not."""
    telemetry.start(service, settings)
    try:
        upgrade(folder, settings.database_owner_url, settings.database_url)
    except OperationalError as error:
        raise SystemExit(f"The database cannot be migrated: {error.orig}") from None
    telemetry.get_logger().info("migrated")


def upgrade(folder: Path, owner_url: str, app_url: str) -> None:
    """Bring a database to the newest revision in `folder` and let the application role use it."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["owner_url"] = owner_url
    config.attributes["app_role"] = make_url(sqlalchemy_url(app_url)).username
    command.upgrade(config, "head")


def run_env(*, withheld: Mapping[str, str] | None = None) -> None:
    """Run the pending revisions. This is the whole of each service's `env.py`.

    `withheld` names tables of which the application role does not get everything: privileges by table.
    """
    config = context.config
    engine = sa.create_engine(sqlalchemy_url(config.attributes["owner_url"]), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        # Two replicas that start at once must not both migrate.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(726001)"))
        context.configure(connection=connection, transaction_per_migration=False)
        with context.begin_transaction():
            context.run_migrations()
        _grant(connection, config.attributes["app_role"], withheld or {})
    engine.dispose()


def _grant(connection: sa.Connection, role: str, withheld: Mapping[str, str]) -> None:
    """Give and take in one transaction: there is no moment at which too much is given."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    for statement in (
        f"GRANT USAGE ON SCHEMA public TO {quoted}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {quoted}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {quoted}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {quoted}",
        f"REVOKE ALL ON alembic_version FROM {quoted}",
        *(f"REVOKE {privileges} ON {table} FROM {quoted}" for table, privileges in withheld.items()),
    ):
        connection.execute(sa.text(statement))


def isolate(tables: Iterable[str]) -> None:
    """Turn row-level security on for tables whose rows carry `team_id`, for their owner as well."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_team ON {table} USING (team_id = {CURRENT_TEAM})"
            f" WITH CHECK (team_id = {CURRENT_TEAM})"
        )
