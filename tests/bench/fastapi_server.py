"""The same two reads in one FastAPI process: what the job costs without hops, passports or log lines.

Its credential check is a dictionary in memory. Its list runs the mail core's own operation on the mail
core's own database, so the SQL is the same; its answers are pydantic models, as FastAPI has them.
"""

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any

import uvicorn
import uvloop
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, PlainSerializer

from services.common.context import Call
from services.common.database import Database
from services.common.identity import Caller
from services.mail_core.adapters.postgres_store import PostgresStore
from services.mail_core.domain.records import Subscription
from services.mail_core.operations.look_at_mail import LookAtMail, Page
from tests.bench.serving import announce, listening, settings

Instant = Annotated[
    datetime, PlainSerializer(lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
]


class Limits(BaseModel):
    requests_per_minute: int
    team_requests_per_minute: int
    max_keys: int
    max_mailboxes: int
    max_inboxes: int


class Team(BaseModel):
    id: str
    name: str
    plan: str
    limits: Limits
    create_time: str | None
    disable_time: str | None


class Restrictions(BaseModel):
    read_only: bool
    label_prefix: str
    mailbox_ids: list[str]


class CallerOut(BaseModel):
    team: Team
    principal: str
    key_id: str
    credential_kind: str
    scopes: list[str]
    restrictions: Restrictions
    roots: list[str]


class Me(BaseModel):
    caller: CallerOut


class SubscriptionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    mailbox_id: str
    key_kind: str
    key: str
    display_name: str
    sender: str
    message_count: int
    first_seen_time: Instant
    last_seen_time: Instant
    category: str
    state: str
    method: str
    method_reason: str
    method_explanation: str
    web_page_url: str
    outcome_reason: str

    @classmethod
    def of(cls, row: Subscription) -> "SubscriptionOut":
        plan = row.plan
        return cls(
            id=row.id,
            mailbox_id=row.mailbox_id,
            key_kind=row.key.kind,
            key=row.key.key,
            display_name=row.display_name,
            sender=row.sender,
            message_count=row.message_count,
            first_seen_time=row.first_seen_at,
            last_seen_time=row.last_seen_at,
            category=row.category,
            state=row.state,
            method=plan.method,
            method_reason=plan.reason,
            method_explanation=plan.explanation,
            web_page_url="",  # of those that are left to a person alone, and the corpus has none
            outcome_reason=row.outcome_reason,
        )


class Subscriptions(BaseModel):
    subscriptions: list[SubscriptionOut]
    next_page_token: str
    total_size: int


def build_app(database_url: str, key_digest: str, caller: dict[str, Any]) -> FastAPI:
    """Put the application together. `caller` is who the one key names, as `GET /v1/me` shows it."""
    app = FastAPI()
    known = {key_digest: CallerOut(**caller)}
    look = LookAtMail(PostgresStore(Database(database_url), queue=None), targets=None)

    async def authenticated(x_api_key: Annotated[str, Header()]) -> CallerOut:
        found = known.get(hashlib.sha256(x_api_key.encode()).hexdigest())
        if found is None:
            raise HTTPException(401)
        return found

    @app.get("/v1/me")
    async def me(who: Annotated[CallerOut, Depends(authenticated)]) -> Me:
        return Me(caller=who)

    @app.get("/v1/mailboxes/{mailbox_id}/subscriptions")
    async def subscriptions(
        mailbox_id: str,
        who: Annotated[CallerOut, Depends(authenticated)],
        page_size: int = 50,
        page_token: str = "",
    ) -> Subscriptions:
        if "unsubscribe:read" not in who.scopes:
            raise HTTPException(403)
        rows, token, total = await look.subscriptions(_call(who), mailbox_id, Page(page_size, page_token), ())
        return Subscriptions(
            subscriptions=[SubscriptionOut.of(row) for row in rows], next_page_token=token, total_size=total
        )

    return app


def _call(who: CallerOut) -> Call:
    caller = Caller(
        who.team.id, who.team.name, who.principal, who.key_id, who.credential_kind, frozenset(who.scopes)
    )
    return Call(request_id="", caller=caller)


async def main() -> None:
    """Serve until killed."""
    listener, app = listening(), build_app(**settings())
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", loop="none", ws="none", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    announce(listener)
    await serving


if __name__ == "__main__":
    uvloop.run(main())
