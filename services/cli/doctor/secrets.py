"""Secrets: master keys are known to all replicas, everything sealed opens, files are closed to others."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection, sql

from protos.mail.v1 import mail_pb2
from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.isolation import connected
from services.cli.doctor.target import KEY_FILE_SETTINGS, Target
from services.common.master_keys import read_master_keys
from services.common.sealing import SEALED_COLUMNS, Place, Sealer, SealError, is_plain

_OTHERS: Final = 0o077
_PAGE: Final = 500
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Ask the core for its keys, open what is sealed, look at files."""
    yield await _keys(target)
    urls, file = target.databases.get("mail"), target.file("mail_core", "MASTER_KEY_FILE")
    if urls is None or not urls.app or file is None:
        yield skipped("secrets.sealed", "the mail database or the master keys are not on this machine")
    else:
        yield await all_open(urls.app, file)
    yield closed(_secret_files(target))


async def _keys(target: Target) -> Finding:
    name = "secrets.master-keys"
    async with target.operator.mail_admin() as mail:
        found = await mail.GetMasterKeys(mail_pb2.GetMasterKeysRequest())
    problems = []
    for key in found.keys:
        lacking = sum(key.key_id not in holder.key_ids for holder in found.holders)
        if key.value_count and lacking:
            problems.append(f"{lacking} replicas lack {key.key_id}, which {key.value_count} values need")
    sealing = {holder.seals_under for holder in found.holders}
    if problems or not sealing:
        return Finding(name, Status.FAIL, "; ".join(problems) or "no replica says which key it seals under")
    old = [
        f"{key.value_count} under {key.key_id}"
        for key in found.keys
        if key.value_count and key.key_id not in sealing
    ]
    waiting = (
        [f"values are under old keys ({', '.join(old)}): run `mailwarden secrets reseal`"] if old else []
    )
    waiting += [f"replicas seal under {', '.join(sorted(sealing))}"] if len(sealing) > 1 else []
    if older := sum(key.older_form_count for key in found.keys):
        waiting.append(f"{older} values are not bound to their row: run `mailwarden secrets rotate`")
    values = sum(key.value_count for key in found.keys)
    names = ", ".join(sorted(sealing))
    fine = f"{len(found.holders)} replicas seal under {names}; {values} values, none under an old key"
    return judged(name, waiting, fine, worst=Status.WARN)


async def all_open(app_url: str, file: Path) -> Finding:
    """Open every sealed value with the keys of the file; nothing of it is kept."""
    sealer, opened, broken, plain = Sealer(read_master_keys(file)), 0, 0, 0
    async with connected(app_url) as connection:
        await connection.execute("SELECT set_config('mailwarden.key_upkeep', 'on', true)")
        for column in SEALED_COLUMNS:
            async for place, sealed in _values(connection, column):
                if is_plain(sealed):
                    plain += 1
                    continue
                try:
                    await sealer.open(sealed, place)
                    opened += 1
                except SealError:
                    broken += 1
    problems = [f"{broken} of {opened + broken} sealed values do not open"] if broken else []
    problems += [f"{plain} values are not sealed yet: run `mailwarden secrets reseal`"] if plain else []
    return judged("secrets.sealed", problems, f"all {opened} sealed values open for their team and place")


async def _values(connection: AsyncConnection, column: str) -> AsyncIterator[tuple[Place, bytes]]:
    """Give what a column holds, with the place of each."""
    table, _, name = column.partition(".")
    query = sql.SQL(
        "SELECT id::text, team_id::text, {name} FROM {table}"
        " WHERE id > %s AND {name} IS NOT NULL ORDER BY id LIMIT %s"
    ).format(name=sql.Identifier(name), table=sql.Identifier(table))
    after = _NOBODY
    while rows := await (await connection.execute(query, (after, _PAGE))).fetchall():
        after = rows[-1][0]
        for row_id, team_id, sealed in rows:
            yield Place(team_id, column, row_id), bytes(sealed)


def closed(files: Iterable[Path]) -> Finding:
    """See that secret files are readable by their owner alone."""
    checked, problems = 0, []
    for file in files:
        checked += 1
        if mode := file.stat().st_mode & _OTHERS:
            problems.append(f"{file.name} is open to others ({mode:03o})")
    if not checked:
        return skipped("secrets.files", "no secret file is on this machine")
    return judged("secrets.files", problems, f"{checked} files are readable by their owner alone")


def _secret_files(target: Target) -> list[Path]:
    named = {
        path
        for service in target.environments
        for name in KEY_FILE_SETTINGS
        if (path := target.file(service, name))
    }
    if target.data_dir is not None:
        folder = target.data_dir / "secrets"
        named |= {folder, *(path for path in folder.iterdir() if path.is_file())}
        named |= set((target.data_dir / "certs").glob("*.key"))
    return sorted(named)
