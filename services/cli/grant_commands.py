"""`mailwarden grants`, `clients` and `tokens`: what was given to OAuth clients, and taking it back."""

import argparse
import sys
from getpass import getpass
from pathlib import Path
from typing import Any, Final

from protos.auth.v1 import auth_pb2
from services.cli.secret_files import read_secret
from services.cli.team_commands import PAGE, operator, say, show, table, time_text, verb

_MAX_TOKEN_CHARS: Final = 16_384


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
    about = "address of the client's document, or a host, which stands for those below it too"
    blocked = verb(verbs, "block", "shut a client or a host out, everywhere, at once", _block, data_dir)
    blocked.add_argument("address", help=about)
    unblocked = verb(verbs, "unblock", "let a client or a host in again", _unblock, data_dir)
    unblocked.add_argument("address", help=about)
    verb(verbs, "blocked", "list the clients and hosts that are shut out", _list_blocked, data_dir)


def add_tokens(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden tokens`."""
    verbs = commands.add_parser("tokens", help="tokens, ours and of other issuers, on a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    revoked = verb(verbs, "revoke", "take a token back, everywhere, at once", _revoke_token, data_dir)
    named = revoked.add_mutually_exclusive_group()
    # Never the text itself: whoever lists processes, or reads the shell's history, would have it.
    named.add_argument("--file", type=Path, help="a file that holds the token; default: standard input")
    named.add_argument("--id", default="", help="its id, as the audit log has it behind `token:`")
    named.add_argument(
        "--principal", default="", help="all that another issuer gave to this principal until now"
    )
    revoked.add_argument(
        "--keep-days", type=int, default=0, help="so long that issuer's tokens may live; default: 366"
    )
    revoked.add_argument(
        "--team",
        default="",
        help="id of the team; default: whichever the token acts for",
    )


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


async def _block(options: argparse.Namespace) -> int:
    async with operator(options).auth() as auth:
        done = await auth.BlockClient(auth_pb2.BlockClientRequest(address=options.address))
    say(f"{done.client.address} is blocked; {done.revoked_count} grants are revoked")
    return 0


async def _unblock(options: argparse.Namespace) -> int:
    async with operator(options).auth() as auth:
        await auth.UnblockClient(auth_pb2.UnblockClientRequest(address=options.address))
    say(f"{options.address} is not blocked any more")
    return 0


async def _list_blocked(options: argparse.Namespace) -> int:
    found = table("client or host", "since")
    async with operator(options).auth() as auth:
        answer = await auth.ListBlockedClients(auth_pb2.ListBlockedClientsRequest())
    for client in answer.clients:
        found.add_row(client.address, time_text(client.block_time))
    show(found)
    return 0


async def _revoke_token(options: argparse.Namespace) -> int:
    wanted = auth_pb2.RevokeTokenRequest(keep_days=options.keep_days)
    if options.id:
        wanted.token_id = options.id
    elif options.principal:
        wanted.principal = options.principal
    else:
        wanted.token = _token_text(options.file)
    request = auth_pb2.RevokeTeamTokenRequest(team_id=options.team, token=wanted)
    async with operator(options).auth() as auth:
        done = await auth.RevokeTeamToken(request)
    until = f" and remembered until {time_text(done.expire_time)}" if done.HasField("expire_time") else ""
    say(f"{done.resource} is revoked{until}")
    return 0


def _token_text(file: Path | None) -> str:
    """Read a token from a file, from a person who is not shown what they type, or from a pipe."""
    if file is not None:
        return read_secret(file).decode("ascii", "replace").strip()
    return (getpass("Token: ") if sys.stdin.isatty() else sys.stdin.read(_MAX_TOKEN_CHARS)).strip()


def _row(grant: auth_pb2.Grant) -> tuple[str, ...]:
    used = time_text(grant.last_use_time) if grant.HasField("last_use_time") else "never"
    state = (
        f"revoked {time_text(grant.revoke_time)}"
        if grant.HasField("revoke_time")
        else f"until {time_text(grant.expire_time)}"
    )
    since = time_text(grant.create_time)
    return grant.id, grant.client_name, grant.person, " ".join(grant.scopes), since, used, state
