"""`mailwarden keys` and `mailwarden team`: what an operator does with teams and their keys."""

import argparse
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from protos.auth.v1 import auth_pb2
from services.cli.key_scopes import ADMIN_SCOPES
from services.cli.plain import plain_console
from services.cli.remote import find_operator
from services.cli.settings import cli_settings

PAGE: Final = 200
_COLUMNS: Final = 200
_MAX_MINUTES: Final = 10 * 365 * 24 * 60

Verb = Callable[[argparse.Namespace], Awaitable[int]]


def add_keys(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden keys`."""
    verbs = commands.add_parser("keys", help="API keys of a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    made = verb(verbs, "create", "make a key and print it once", _create, data_dir)
    made.add_argument("--label", required=True, help="what the key is for")
    made.add_argument("--scope", action="append", default=[], help="repeatable; default: those for mail")
    made.add_argument("--admin", action="store_true", help="every scope, governing the team included")
    made.add_argument("--read-only", action="store_true", help="the key can change nothing")
    made.add_argument("--label-prefix", default="", help="only what is labelled with this at the start")
    made.add_argument("--mailbox", action="append", default=[], help="only this mailbox id; repeatable")
    made.add_argument("--ttl-minutes", type=_minutes, help="the key ends after so many minutes")
    verb(verbs, "list", "list keys, revoked ones too", _list, data_dir)
    rotated = verb(verbs, "rotate", "replace a key and print the new one once", _rotate, data_dir)
    rotated.add_argument("key_id", help="the key to replace")
    rotated.add_argument(
        "--overlap-minutes", type=_minutes_or_none, help="the old one still works so long; default: 60"
    )
    revoked = verb(verbs, "revoke", "take a key back, everywhere, at once", _revoke, data_dir)
    revoked.add_argument("key_id", help="the key")
    revoked.add_argument("--force", action="store_true", help="also when it is the last admin key")
    for parser in verbs.choices.values():
        parser.add_argument("--team", default="", help="id of the team; default: the default team")


def add_team(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden team`."""
    verbs = commands.add_parser("team", help="teams of a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    made = verb(verbs, "create", "make a team and print its id", _create_team, data_dir)
    made.add_argument("name", help="name to show")
    made.add_argument("--plan", default="", help="free, pro or enterprise; default: free")
    verb(verbs, "list", "list teams", _list_teams, data_dir)
    planned = verb(verbs, "set-plan", "put a team on a plan", _set_plan, data_dir)
    planned.add_argument("team", help="id of the team")
    planned.add_argument("plan", help="free, pro or enterprise")
    disabled = verb(verbs, "disable", "switch a team off, everywhere, at once", _disable, data_dir)
    enabled = verb(verbs, "enable", "switch a team on again", _enable, data_dir)
    for parser in (disabled, enabled):
        parser.add_argument("team", help="id of the team")


def verb(verbs: Any, name: str, about: str, run: Verb, data_dir: Path) -> argparse.ArgumentParser:
    """Add one thing that can be done with a running system."""
    parser = verbs.add_parser(name, help=about)
    parser.add_argument("--data-dir", type=Path, default=data_dir, help="default: %(default)s")
    parser.set_defaults(run=run)
    return parser


async def _create(options: argparse.Namespace) -> int:
    request = auth_pb2.CreateApiKeyRequest(
        team_id=options.team,
        label=options.label,
        scopes=ADMIN_SCOPES if options.admin else options.scope,
        restrictions=auth_pb2.Restrictions(
            read_only=options.read_only, label_prefix=options.label_prefix, mailbox_ids=options.mailbox
        ),
        expire_time=_after(options.ttl_minutes) if options.ttl_minutes else None,
    )
    answer = await operator(options).create_key(request)
    _show_secret(f"key {answer.key_id} ({options.label})", answer.secret)
    return 0


async def _list(options: argparse.Namespace) -> int:
    found = table("id", "label", "hint", "scopes", "state", "last used")
    request = auth_pb2.ListApiKeysRequest(team_id=options.team, page_size=PAGE)
    async with operator(options).auth() as auth:
        while True:
            answer = await auth.ListApiKeys(request)
            for key in answer.keys:
                used = time_text(key.last_use_time) if key.HasField("last_use_time") else "never"
                found.add_row(key.id, key.label, key.hint, " ".join(key.scopes), _state(key), used)
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    show(found)
    return 0


async def _rotate(options: argparse.Namespace) -> int:
    request = auth_pb2.RotateApiKeyRequest(
        team_id=options.team, key_id=options.key_id, overlap_minutes=options.overlap_minutes
    )
    async with operator(options).auth() as auth:
        answer = await auth.RotateApiKey(request)
    _show_secret(f"key {answer.key.id} ({answer.key.label}) replaces {answer.replaced.id}", answer.secret)
    return 0


async def _revoke(options: argparse.Namespace) -> int:
    request = auth_pb2.RevokeApiKeyRequest(team_id=options.team, key_id=options.key_id, force=options.force)
    async with operator(options).auth() as auth:
        answer = await auth.RevokeApiKey(request)
    say(f"key {answer.key.id} ({answer.key.label}) is revoked")
    return 0


async def _create_team(options: argparse.Namespace) -> int:
    request = auth_pb2.CreateTeamRequest(name=options.name, plan=options.plan)
    async with operator(options).auth() as auth:
        answer = await auth.CreateTeam(request)
    print(answer.team.id)  # noqa: T201  alone, so that it can be piped
    return 0


async def _list_teams(options: argparse.Namespace) -> int:
    found = table("id", "name", "plan", "state")
    request = auth_pb2.ListTeamsRequest(page_size=PAGE)
    async with operator(options).auth() as auth:
        while True:
            answer = await auth.ListTeams(request)
            for team in answer.teams:
                state = "off" if team.HasField("disable_time") else "on"
                found.add_row(team.id, team.name, team.plan, state)
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    show(found)
    return 0


async def _set_plan(options: argparse.Namespace) -> int:
    return await _update(options, plan=options.plan)


async def _disable(options: argparse.Namespace) -> int:
    return await _update(options, disabled=True)


async def _enable(options: argparse.Namespace) -> int:
    return await _update(options, disabled=False)


async def _update(options: argparse.Namespace, **changes: Any) -> int:
    request = auth_pb2.UpdateTeamRequest(team_id=options.team, **changes)
    async with operator(options).auth() as auth:
        team = (await auth.UpdateTeam(request)).team
    say(f"team {team.id} ({team.name}): plan {team.plan}, {'off' if team.HasField('disable_time') else 'on'}")
    return 0


def operator(options: argparse.Namespace) -> Any:
    """Find the running system. Raises Failure when there is none."""
    return find_operator(options.data_dir, cli_settings())


def _show_secret(what: str, secret: str) -> None:
    # The secret alone on standard output, so that it can be piped.
    plain_console(to_stderr=True).print(f"{what}; this secret is shown once:", soft_wrap=True)
    print(secret)  # noqa: T201


def _state(key: auth_pb2.ApiKey) -> str:
    if key.HasField("revoke_time"):
        return f"revoked {time_text(key.revoke_time)}"
    if not key.HasField("expire_time"):
        return "works"
    ended = key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
    return f"{'expired' if ended else 'works until'} {time_text(key.expire_time)}"


def time_text(stamp: Timestamp) -> str:
    """Write a time in UTC, to the minute."""
    return stamp.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M")


def _minutes(text: str) -> int:
    return _within(text, 1)


def _minutes_or_none(text: str) -> int:
    return _within(text, 0)


def _within(text: str, least: int) -> int:
    minutes = int(text)
    if not least <= minutes <= _MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"{least} to {_MAX_MINUTES}")
    return minutes


def _after(minutes: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(minutes=minutes))
    return stamp


def table(*columns: str) -> Table:
    """Begin a table."""
    found = Table(box=None, pad_edge=False)
    for column in columns:
        found.add_column(column, overflow="fold", no_wrap=column == "id")
    return found


def show(found: Table) -> None:
    """Print a table."""
    plain_console(file_columns=_COLUMNS).print(found)


def say(text: str) -> None:
    """Print a line."""
    plain_console(file_columns=_COLUMNS).print(text, soft_wrap=True)
