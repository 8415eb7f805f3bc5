"""`mailwarden grants` and `mailwarden clients`: what people allowed to OAuth clients, and taking it back."""

import argparse
from pathlib import Path
from typing import Any

from protos.auth.v1 import auth_pb2
from services.cli.team_commands import PAGE, operator, say, show, table, time_text, verb


def add_grants(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden grants`."""
    verbs = commands.add_parser("grants", help="what people allowed to OAuth clients, on a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    verb(verbs, "list", "list grants, ended ones too", _list_grants, data_dir)
    revoked = verb(verbs, "revoke", "take a grant back, everywhere, at once", _revoke_grant, data_dir)
    revoked.add_argument("grant_id", help="the grant")
    for parser in verbs.choices.values():
        _add_team(parser)


def add_clients(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden clients`."""
    verbs = commands.add_parser("clients", help="OAuth clients that hold grants, on a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    verb(verbs, "list", "list the clients that a team allowed something", _list_clients, data_dir)
    revoked = verb(verbs, "revoke", "take all back that a client was allowed", _revoke_client, data_dir)
    revoked.add_argument("client_id", help="the client")
    revoked.add_argument(
        "--all-teams", action="store_true", help="of every team, and forget its registration"
    )
    for parser in verbs.choices.values():
        _add_team(parser)


def _add_team(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--team", default="", help="id of the team; default: the default team")


async def _list_grants(options: argparse.Namespace) -> int:
    found = table("id", "client", "person", "scopes", "since", "last used", "state")
    request = auth_pb2.ListTeamGrantsRequest(team_id=options.team, page_size=PAGE)
    async with operator(options).auth() as auth:
        while True:
            answer = await auth.ListTeamGrants(request)
            for grant in answer.grants:
                found.add_row(*_row(grant))
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    show(found)
    return 0


async def _revoke_grant(options: argparse.Namespace) -> int:
    request = auth_pb2.RevokeTeamGrantRequest(team_id=options.team, grant_id=options.grant_id)
    async with operator(options).auth() as auth:
        grant = (await auth.RevokeTeamGrant(request)).grant
    say(f"grant {grant.id} ({grant.client_name}) is revoked")
    return 0


async def _list_clients(options: argparse.Namespace) -> int:
    found = table("id", "name", "grants", "since", "last used")
    async with operator(options).auth() as auth:
        answer = await auth.ListTeamClients(auth_pb2.ListTeamClientsRequest(team_id=options.team))
    for client in answer.clients:
        used = time_text(client.last_use_time) if client.HasField("last_use_time") else "never"
        since = time_text(client.first_grant_time)
        found.add_row(client.id, client.name, str(client.grant_count), since, used)
    show(found)
    if answer.truncated:
        say("There are more; take some back to see them.")
    return 0


async def _revoke_client(options: argparse.Namespace) -> int:
    request = auth_pb2.RevokeTeamClientRequest(
        team_id=options.team, client_id=options.client_id, all_teams=options.all_teams
    )
    async with operator(options).auth() as auth:
        count = (await auth.RevokeTeamClient(request)).revoked_count
    say(f"client {options.client_id}: {count} grants are revoked")
    return 0


def _row(grant: auth_pb2.Grant) -> tuple[str, ...]:
    used = time_text(grant.last_use_time) if grant.HasField("last_use_time") else "never"
    state = (
        f"revoked {time_text(grant.revoke_time)}"
        if grant.HasField("revoke_time")
        else f"until {time_text(grant.expire_time)}"
    )
    since = time_text(grant.create_time)
    return grant.id, grant.client_name, grant.person, " ".join(grant.scopes), since, used, state
