"""`mailwarden audit`: whether the log holds, and copies of it and of what was signed over it."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp

from protos.auth.v1 import auth_pb2
from services.cli.admin import Operator
from services.cli.failure import Failure
from services.cli.plain import plain_console
from services.cli.remote import find_operator
from services.cli.settings import cli_settings
from services.common.audit_checkpoint import Checkpoint, checkpoint_of, notes_in, text_of
from services.common.signed_note import BadNoteError, UnknownKeyError, VerifierKey, open_note

_CONNECT_S: Final = 10


_CHAIN: Final = {
    "CHANGED": "was changed",
    "MISSING": "is missing",
    "REORDERED": "stands in another's place",
    "ADDED": "stands behind the end of its chain: it was put there by hand",
    "REWRITTEN": "is not the one that checkpoint {checkpoint} names: the chain was written anew up to here",
    "CUT": "is missing, and all after it: checkpoint {checkpoint} names a later one",
    "REMOVED": "is missing, and the whole chain: checkpoint {checkpoint} knows of it",
    "ANCHOR_MOVED": "and all before it were removed, and not by retention (checkpoint {checkpoint})",
}
_CHECKPOINT: Final = {
    "CHANGED": "is not the one that was signed, or the heads kept beside it are not",
    "MISSING": "is missing",
    "REORDERED": "stands in another's place",
    "FORGED": "is not what its key signed",
    "KEY_UNKNOWN": "is signed by a key that AUDIT_KEY_FILE lacks: put it back there, or this is a forgery",
    "ROLLED_BACK": "was seen by auth and is not there any more: the database was rolled back",
}


async def verify_audit(data_dir: Path, team_id: str, copies: str | None = None) -> int:
    """Verify checkpoints and chains, and name what does not fit. Exit code 1 when there is something.

    `copies`: a file of checkpoints that were kept elsewhere, `-` for standard input.
    """
    console = plain_console()
    kept_elsewhere = read_copies(copies) if copies is not None else []
    operator = find_operator(data_dir, cli_settings())
    problems: list[str] = []
    event_count = 0
    checkpoints = auth_pb2.CheckpointsState()
    async for found in operator.verify_audit(team_id):
        event_count += found.event_count
        if found.HasField("checkpoints"):
            checkpoints = found.checkpoints
        if not found.intact:
            problems.append(problem_of(found))
    if copies is not None:
        problems += await _contradictions(operator, kept_elsewhere)
    for problem in problems:
        console.print(f"BROKEN: {problem}", soft_wrap=True)
    if problems:
        return 1
    console.print(f"intact: {event_count} events verified, {_signed(checkpoints)}", soft_wrap=True)
    if copies is not None:
        console.print(f"all {len(kept_elsewhere)} copies are still what the database holds", soft_wrap=True)
    return 0


def problem_of(found: auth_pb2.VerifyAuditResponse) -> str:
    """Say in plain words what is wrong, and where."""
    if found.HasField("checkpoints"):
        what = _CHECKPOINT.get(found.problem, found.problem.lower())
        return f"checkpoint {found.broken_checkpoint} {what}"
    what = _CHAIN.get(found.problem, found.problem.lower()).format(checkpoint=found.broken_checkpoint)
    return (
        f"team {found.team_id}: event {found.broken_sequence} {what}"
        f" ({found.problem}; {found.event_count} events before it are as they were)"
    )


def read_copies(source: str) -> list[str]:
    """Read copies of checkpoints. Raises Failure when there is none."""
    try:
        content = sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {source}: {error}") from error
    notes = list(notes_in(content))
    if not notes:
        raise Failure(f"{source} holds no checkpoint; `mailwarden audit checkpoints` writes them")
    return notes


def contradictions_of(copies: Mapping[int, Sequence[str]], kept: Mapping[int, str]) -> list[str]:
    """Compare genuine copies, by number, with what the database has of those that it must have.

    `kept` holds no number before its first: retention has removed those.
    """
    problems = []
    for number, notes in sorted(copies.items()):
        texts = {text_of(note) for note in notes}
        if len(texts) > 1:
            problems.append(f"there are two checkpoints {number} among the copies: there was a rollback")
        elif number in kept and texts != {text_of(kept[number])}:
            problems.append(f"checkpoint {number} is another than in the copy: the database was rolled back")
        elif number > max(kept, default=0):
            problems.append(f"checkpoint {number} of the copy is not there: the database was rolled back")
    return problems


async def _contradictions(operator: Operator, copies: Sequence[str]) -> list[str]:
    keys: list[VerifierKey] = []
    wanted: dict[int, list[str]] = {}
    kept: dict[int, str] = {}
    problems: list[str] = []
    async for answer in operator.checkpoints(_number_before(copies)):
        if answer.verifier_keys:
            keys = [VerifierKey.parse(key) for key in answer.verifier_keys]
        elif answer.note:
            with contextlib.suppress(ValueError):  # what is no checkpoint any more was told of already
                kept[checkpoint_of(answer.note).number] = answer.note
    for place, note in enumerate(copies, 1):
        try:
            wanted.setdefault(Checkpoint.parse(open_note(note, keys)[0]).number, []).append(note)
        except UnknownKeyError as error:
            problems.append(f"copy {place} is signed by {error}, which AUDIT_KEY_FILE does not hold")
        except (BadNoteError, ValueError):
            problems.append(f"copy {place} is not what its key signed")
    return problems + contradictions_of(wanted, kept)


def _number_before(copies: Sequence[str]) -> int:
    numbers = []
    for note in copies:
        with contextlib.suppress(ValueError):
            numbers.append(checkpoint_of(note).number)
    return min(numbers, default=1) - 1


def _signed(checkpoints: auth_pb2.CheckpointsState) -> str:
    if not checkpoints.count:
        return "no checkpoint is signed: set AUDIT_KEY_FILE, or who owns the schema can rewrite them all"
    newest = checkpoints.newest_time.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{checkpoints.count} checkpoints up to {checkpoints.newest_number} of {newest}"


async def lines_of_checkpoints(
    data_dir: Path, after: int, *, newest_only: bool, keys: bool
) -> AsyncIterator[bytes]:
    """Read the signed notes with an empty line behind each, or the keys that verify them."""
    async for answer in find_operator(data_dir, cli_settings()).checkpoints(after, newest_only=newest_only):
        if keys:
            for key in answer.verifier_keys:
                yield f"{key}\n".encode()
        elif answer.note:
            yield f"{answer.note}\n".encode()


async def export_audit(lines: AsyncIterator[bytes], output: Path | None) -> int:
    """Write a log as JSON lines, one for each event, oldest first."""
    try:
        if output is None:
            return await _write(lines, sys.stdout.buffer)
        with output.open("wb") as file:
            return await _write(lines, file)
    except (OSError, aiohttp.ClientError) as error:
        raise Failure(f"the export failed: {error}") from error


async def _write(lines: AsyncIterator[bytes], target: BinaryIO) -> int:
    async for line in lines:
        target.write(line)
    return 0


def lines_for_operator(data_dir: Path, team_id: str, action: str) -> AsyncIterator[bytes]:
    """Read any chain by certificate; without a team the one of what belongs to none."""
    return find_operator(data_dir, cli_settings()).export_audit(team_id, action)


async def lines_for_team(url: str, action: str) -> AsyncIterator[bytes]:
    """Read the log of a key's team from the REST edge. The key must hold `audit:read`."""
    api_key = cli_settings().mailwarden_api_key.get_secret_value()
    if not api_key:
        raise Failure("set MAILWARDEN_API_KEY to a key that holds the scope audit:read")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    query = {"action": action} if action else {}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(
            f"{url.rstrip('/')}/v1/audit/export",
            params=query,
            headers={"X-API-Key": api_key},
            allow_redirects=False,  # the key is for this address alone
        ) as response,
    ):
        if response.status != HTTPStatus.OK:
            raise Failure(await _refusal(url, response))
        async for line in response.content:
            if line.startswith(b'{"error"'):
                raise Failure("the export broke off; run it again")
            yield line


async def _refusal(url: str, response: aiohttp.ClientResponse) -> str:
    if response.content_type != "application/problem+json":
        return f"{url} answers with {response.status}, not as the REST edge does"
    problem = await response.json(content_type=None)
    return f"{url} says: {problem.get('detail')} ({problem.get('reason')})"
