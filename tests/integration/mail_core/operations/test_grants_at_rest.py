"""What a stolen dump of the mail core's database would tell."""

import psycopg
import pytest
from psycopg import sql

from tests.integration.mail_core.operations.world import World
from tests.postgres import Databases

REFRESH_TOKEN = "refresh-1"
AS_TEXT_OR_BYTES = (REFRESH_TOKEN, REFRESH_TOKEN.encode().hex())


@pytest.mark.promise("secrets.at-rest")
async def test_no_table_holds_a_grant_in_the_clear(world: World, databases: Databases) -> None:
    """The whole database is searched, as its owner's superior sees it; the grant works all the same."""
    url = databases.admin_url.replace("/postgres?", f"/{databases.mail.name}?")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        names = await (
            await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).fetchall()
        dump = [
            str(row)
            for (name,) in names
            for row in await (
                await connection.execute(
                    sql.SQL("SELECT {name}::text FROM {name}").format(name=sql.Identifier(name))
                )
            ).fetchall()
        ]
    assert any(world.team_id in row for row in dump)
    assert not [row for row in dump for spelling in AS_TEXT_OR_BYTES if spelling in row]
    assert await world.scan()
