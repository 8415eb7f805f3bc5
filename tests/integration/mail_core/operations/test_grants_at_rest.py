"""What a stolen dump of the mail core's database would tell."""

import psycopg
import pytest
from psycopg import sql

from services.mail_core.domain.operation import UnsubscribeReport
from tests.integration.mail_core.operations.world import World, letter
from tests.postgres import Databases

REFRESH_TOKEN = "refresh-1"
AS_TEXT_OR_BYTES = (REFRESH_TOKEN, REFRESH_TOKEN.encode().hex())


@pytest.mark.promise("secrets.at-rest")
async def test_no_table_holds_a_grant_in_the_clear(world: World, databases: Databases) -> None:
    """The whole database is searched, as its owner's superior sees it; the grant works all the same."""
    found = await dump(databases)
    assert any(world.team_id in row for row in found)
    assert not [row for row in found for spelling in AS_TEXT_OR_BYTES if spelling in row]
    assert await world.scan()


@pytest.mark.promise("secrets.at-rest")
async def test_no_table_holds_an_unsubscribe_link_in_the_clear(world: World, databases: Databases) -> None:
    """Of no method, before and after it was used; neither does the result of the operation."""
    token = f"token-{world.team_id}"
    ways = {
        "post.example": {"List_Unsubscribe": f"<https://news.example/{token}>"},
        "page.example": {
            "List_Unsubscribe": f"<https://page.example/{token}>",
            "List_Unsubscribe_Post": "",
        },
        "mail.example": {
            "List_Unsubscribe": f"<mailto:leave@mail.example?subject={token}>",
            "List_Unsubscribe_Post": "",
            "Delivered_To": f"owner+{token}@example.com",
        },
    }
    for list_id, changes in ways.items():
        world.gmail.deliver(*letter(list_id, **changes).items())
    await world.scan()
    report = await world.unsubscribe(*ways)
    assert isinstance(report, UnsubscribeReport)
    assert [each.state for each in report.outcomes] == ["accepted", "needs_person", "sent"]
    assert [each.web_page_url for each in report.outcomes] == ["", f"https://page.example/{token}", ""]
    assert world.one_click.posted == [f"https://news.example/{token}"]
    assert [mail["Subject"] for mail in world.gmail.sent] == [token]
    found = await dump(databases)
    assert sum(world.team_id in row for row in found) > len(ways)
    assert not [row for row in found if token in row or token.encode().hex() in row]


async def dump(databases: Databases) -> list[str]:
    """Every row of every table."""
    url = databases.admin_url.replace("/postgres?", f"/{databases.mail.name}?")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        names = await (
            await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).fetchall()
        return [
            str(row)
            for (name,) in names
            for row in await (
                await connection.execute(
                    sql.SQL("SELECT {name}::text FROM {name}").format(name=sql.Identifier(name))
                )
            ).fetchall()
        ]
