"""`mailwarden secrets`: master keys and signing keys of a running system."""

import argparse
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from services.cli.failure import Failure
from services.cli.folder import DataFolder
from services.cli.master_key_rotation import Counts, MasterKeyRotation
from services.cli.plain import plain_console
from services.cli.remote import find_operator
from services.cli.settings import CliSettings, cli_settings
from services.cli.signing_key_rotation import SigningFile, rotate_signing_keys

PUBLISH_S: Final = 120
"""Long enough for a Kubernetes Secret to reach every pod (kubelet syncs once a minute)."""
_WAIT_S: Final = 60.0
_COLUMNS: Final = 140
_NONE: Final = (0, 0)

Verb = Callable[[argparse.Namespace], Awaitable[int]]


def add_secrets(commands: Any, data_dir: Path) -> None:
    """Add `mailwarden secrets`."""
    verbs = commands.add_parser("secrets", help="master keys and signing keys of a running system")
    verbs = verbs.add_subparsers(metavar="VERB", required=True)
    status = _verb(verbs, "status", "which keys there are, and what needs them; no key is shown", _status)
    status.add_argument("--json", action="store_true", help="for programs")
    rotated = _verb(verbs, "rotate", "make a new master key and re-encrypt, or new signing keys", _rotate)
    rotated.add_argument(
        "--signing", action="store_true", help="the keys that sign passports, tokens and checkpoints"
    )
    rotated.add_argument(
        "--now", action="store_true", help="with --signing: drop the old keys at once (theft)"
    )
    rotated.add_argument(
        "--publish-s",
        type=_seconds,
        default=PUBLISH_S,
        help="with --signing: seconds until the new keys sign, so that all have them; default: %(default)s",
    )
    resealed = _verb(verbs, "reseal", "go on with a rotation that was interrupted", _reseal)
    for parser in (rotated, resealed):
        parser.add_argument(
            "--wait-s",
            type=float,
            default=_WAIT_S,
            help="how long to wait for all replicas; default: %(default)s",
        )
    retired = _verb(verbs, "retire", "remove a master key that nothing needs any more", _retire)
    retired.add_argument("key_id", help="id of the master key")
    for parser in (status, rotated, retired):
        parser.add_argument(
            "--master-key-file", type=Path, help="default: $MASTER_KEY_FILE, else the data folder's"
        )
    for parser in (status, rotated):
        for name in ("passport", "oauth", "audit"):
            parser.add_argument(
                f"--{name}-key-file",
                type=Path,
                help=f"default: ${name.upper()}_KEY_FILE, else the data folder's",
            )
    for parser in verbs.choices.values():
        parser.add_argument("--data-dir", type=Path, default=data_dir, help="default: %(default)s")


def _verb(verbs: Any, name: str, about: str, run: Verb) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about)
    parser.set_defaults(run=run)
    return parser


async def _status(options: argparse.Namespace) -> int:
    settings = cli_settings()
    found = await MasterKeyRotation(find_operator(options.data_dir, settings), _say).status()
    sealing = {holder.seals_under for holder in found.holders}
    counts = {key.key_id: (key.value_count, key.older_form_count) for key in found.keys}
    held = list(dict.fromkeys(key_id for holder in found.holders for key_id in holder.key_ids))
    master = [
        {
            "key_id": key_id,
            "seals": key_id in sealing,
            "values": counts.get(key_id, _NONE)[0],
            "of_older_form": counts.get(key_id, _NONE)[1],
            "replicas": sum(key_id in holder.key_ids for holder in found.holders),
        }
        for key_id in dict.fromkeys([*held, *counts])
    ]
    now_s = time.time()
    signing = [
        {"purpose": file.purpose, "key_id": key_id, "state": state,
         "signs_from": _time(key.signs_from), "until": _time(key.until)}
        for file in _signing_files(options, settings)
        for key_id, state, key in file.described(now_s)
    ]  # fmt: skip
    if options.json:
        told = {"replicas": len(found.holders), "master_keys": master, "signing_keys": signing}
        print(json.dumps({**told, "unsealed_values": found.unsealed_count}))  # noqa: T201
        return 0
    _say(f"{len(found.holders)} replicas of the mail core")
    _table(master)
    if found.unsealed_count:
        _say(f"{found.unsealed_count} values are not sealed: `mailwarden secrets reseal`")
    if any(older for _, older in counts.values()):
        _say("values of an older form are not bound to their row: `mailwarden secrets rotate`")
    if signing:
        _table(signing)
    return 0


async def _rotate(options: argparse.Namespace) -> int:
    settings = cli_settings()
    if options.signing:
        files = _signing_files(options, settings)
        if not files:
            raise Failure("there is no file of signing keys; name one with --passport-key-file")
        rotate_signing_keys(files, int(time.time()), _say, publish_s=options.publish_s, drop_old=options.now)
        return 0
    if options.now:
        raise Failure("--now goes with --signing; a master key is dropped with `mailwarden secrets retire`")
    rotation = MasterKeyRotation(find_operator(options.data_dir, settings), _say)
    counts = await rotation.new_key(_master_file(options, settings), datetime.now(UTC), options.wait_s)
    return await _report(rotation, counts)


async def _reseal(options: argparse.Namespace) -> int:
    rotation = MasterKeyRotation(find_operator(options.data_dir, cli_settings()), _say)
    return await _report(rotation, await rotation.finish(options.wait_s))


async def _retire(options: argparse.Namespace) -> int:
    settings = cli_settings()
    rotation = MasterKeyRotation(find_operator(options.data_dir, settings), _say)
    await rotation.retire(_master_file(options, settings), options.key_id)
    _say(f"master key {options.key_id} is retired")
    return 0


async def _report(rotation: MasterKeyRotation, counts: Counts) -> int:
    _say(
        f"{counts.examined} values examined: {counts.resealed} re-encrypted,"
        f" {counts.raced} replaced by others meanwhile, {counts.unreadable} unreadable"
    )
    for key_id in await rotation.unneeded():
        _say(f"master key {key_id} is needed by nothing: `mailwarden secrets retire {key_id}`")
    return 1 if counts.unreadable else 0


def _master_file(options: argparse.Namespace, settings: CliSettings) -> Path:
    return options.master_key_file or settings.master_key_file or _secrets_of(options) / "master.key"


def _signing_files(options: argparse.Namespace, settings: CliSettings) -> list[SigningFile]:
    """The files that were named, and of the usual ones those that there are."""
    named = {
        SigningFile.of_passports: (options.passport_key_file or settings.passport_key_file, "passport.pem"),
        SigningFile.of_access_tokens: (options.oauth_key_file or settings.oauth_key_file, "oauth.pem"),
        SigningFile.of_checkpoints: (options.audit_key_file or settings.audit_key_file, "audit.pem"),
    }
    files = []
    for make, (path, usual) in named.items():
        chosen = path or _secrets_of(options) / usual
        if path or chosen.exists():
            files.append(make(chosen))
    return files


def _secrets_of(options: argparse.Namespace) -> Path:
    return DataFolder(options.data_dir.expanduser().resolve()).secrets


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 1 <= seconds <= 86_400:  # noqa: PLR2004  a day
        raise argparse.ArgumentTypeError("1 to 86400")
    return seconds


def _time(time_s: int | None) -> str:
    return "" if time_s is None else datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name == "key_id")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    plain_console(file_columns=_COLUMNS).print(table)


def _say(text: str) -> None:
    plain_console().print(text, soft_wrap=True)
