"""The migrated schema is the one that the code speaks to, and all of it is isolated by team."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.common.database import sqlalchemy_url
from services.mail_core.adapters.tables import metadata
from tests.postgres import Databases

_FOREIGN = ("procrastinate_", "alembic_version")


def test_tables_and_migrations_agree(databases: Databases) -> None:
    """Alembic finds no difference between the tables of the code and those of the database."""
    engine = sa.create_engine(sqlalchemy_url(databases.mail.owner_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or not name.startswith(_FOREIGN)},
        )
        found = compare_metadata(context, metadata)
    engine.dispose()
    assert found == []


@pytest.mark.promise("teams.tables")
def test_every_table_is_under_forced_row_level_security(databases: Databases) -> None:
    """A table without a policy would show one team's rows to another."""
    engine = sa.create_engine(sqlalchemy_url(databases.mail.owner_url))
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ).all()
    engine.dispose()
    ours = {name: isolated for name, isolated in rows if not name.startswith(_FOREIGN)}
    assert ours == dict.fromkeys(metadata.tables, True)


def test_the_service_role_can_neither_bypass_nor_own(databases: Databases) -> None:
    """The role that serves is no superuser, does not bypass security, and owns no table."""
    engine = sa.create_engine(sqlalchemy_url(databases.mail.app_url))
    with engine.connect() as connection:
        role = connection.execute(
            sa.text("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        ).one()
        owned = connection.scalar(
            sa.text("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole AND relkind = 'r'")
        )
    engine.dispose()
    assert (tuple(role), owned) == ((False, False, False), 0)
