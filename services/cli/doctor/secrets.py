"""Secrets: master keys are known to all replicas, everything sealed opens, files are closed to others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection, sql
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from protos.mail.v1 import mail_pb2
from services.cli.doctor.findings import Finding, Status, judged, skipped
from services.cli.doctor.isolation import connected
from services.cli.doctor.target import KEY_FILE_SETTINGS, Target
from services.common.errors import AppError
from services.common.master_key_ring import MasterKeySettings, opened_master_keys
from services.common.sealing import SEALED_COLUMNS, KeyWrapper, Place, Sealer, SealError, is_plain

_OTHERS: Final = 0o077
_PAGE: Final = 500
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Ask the core for its keys, open what is sealed, look at files."""
    yield await _keys(target)
    urls, settings = target.databases.get("mail"), _key_settings(target)
    if urls is None or not urls.app or settings is None:
        yield skipped("secrets.sealed", "the mail database or the master keys are not on this machine")
    else:
        async with opened_master_keys(settings) as keys:
            yield await all_open(urls.app, keys)
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
    unneeded = [key.key_id for key in found.keys if not key.value_count and key.key_id not in sealing]
    waiting += [f"nothing needs {key_id}: run `mailwarden secrets retire {key_id}`" for key_id in unneeded]
    values = sum(key.value_count for key in found.keys)
    names = ", ".join(sorted(sealing))
    fine = f"{len(found.holders)} replicas seal under {names}; {values} values, none under an old key"
    return judged(name, waiting, fine, worst=Status.WARN)


class _Told(MasterKeySettings):
    """The settings of another process, with nothing of our own environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is passed."""
        return (init_settings,)


def _key_settings(target: Target) -> MasterKeySettings | None:
    """Give the settings of the core's master keys; None when they are not known here."""
    known = target.environments.get("mail_core", {})
    named = {name.lower(): value for name, value in known.items() if name.startswith("MASTER_KEY_") and value}
    try:
        return _Told(**{**named, "master_key_file": target.file("mail_core", "MASTER_KEY_FILE")})
    except ValidationError:
        return None


async def all_open(app_url: str, keys: KeyWrapper) -> Finding:
    """Open every sealed value with these keys; nothing of it is kept."""
    sealer, found = Sealer(keys), Counter[str]()
    try:
        async with connected(app_url) as connection:
            await connection.execute("SELECT set_config('mailwarden.key_upkeep', 'on', true)")
            for column in SEALED_COLUMNS:
                async for page in _pages(connection, column):
                    found.update(await asyncio.gather(*(_opened(sealer, *each) for each in page)))
    except AppError as error:
        return Finding("secrets.sealed", Status.FAIL, f"nobody can say whether values open: {error.reason}")
    opened, broken, plain = found["opened"], found["broken"], found["plain"]
    problems = [f"{broken} of {opened + broken} sealed values do not open"] if broken else []
    problems += [f"{plain} values are not sealed yet: run `mailwarden secrets reseal`"] if plain else []
    return judged("secrets.sealed", problems, f"all {opened} sealed values open for their team and place")


async def _opened(sealer: Sealer, place: Place, sealed: bytes) -> str:
    if is_plain(sealed):
        return "plain"
    try:
        await sealer.open(sealed, place)
    except SealError:
        return "broken"
    return "opened"


async def _pages(connection: AsyncConnection, column: str) -> AsyncIterator[list[tuple[Place, bytes]]]:
    """Give what a column holds, with the place of each."""
    table, _, name = column.partition(".")
    query = sql.SQL(
        "SELECT id::text, team_id::text, {name} FROM {table}"
        " WHERE id > %s AND {name} IS NOT NULL ORDER BY id LIMIT %s"
    ).format(name=sql.Identifier(name), table=sql.Identifier(table))
    after = _NOBODY
    while rows := await (await connection.execute(query, (after, _PAGE))).fetchall():
        after = rows[-1][0]
        yield [(Place(team_id, column, row_id), bytes(sealed)) for row_id, team_id, sealed in rows]


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
