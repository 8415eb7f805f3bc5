"""Signing keys: young enough, one of them signs, and no old one is kept without an end."""

import time
from collections.abc import AsyncIterator
from typing import Final

from services.cli.doctor.findings import Finding, Status, skipped
from services.cli.doctor.target import Target
from services.cli.failure import Failure
from services.cli.signing_key_rotation import SigningFile

_DAY_S: Final = 86_400
_WARN_DAYS: Final = 90
_FAIL_DAYS: Final = 365


async def probe(target: Target) -> AsyncIterator[Finding]:
    """Look at the files that auth signs with."""
    for what, setting, make in (
        ("passports", "PASSPORT_KEY_FILE", SigningFile.of_passports),
        ("access-tokens", "OAUTH_KEY_FILE", SigningFile.of_access_tokens),
        ("checkpoints", "AUDIT_KEY_FILE", SigningFile.of_checkpoints),
    ):
        path = target.file("auth", setting)
        if path is None:
            why = "is not used" if target.environments else "is not known"
            yield skipped(f"signing-keys.{what}", f"{setting} {why}")
        else:
            yield judge(f"signing-keys.{what}", make(path), time.time())


def judge(name: str, file: SigningFile, now_s: float) -> Finding:
    """Judge one file."""
    try:
        keys = file.described(now_s)
    except Failure as failure:
        return Finding(name, Status.FAIL, str(failure))
    signing = [key for _, state, key in keys if state == "signs"]
    if not signing:
        return Finding(name, Status.FAIL, "no key may sign now")
    since = signing[0].signs_from or file.path.stat().st_mtime
    days = max(0, int((now_s - since) // _DAY_S))
    told = f"the signing key is {days} days old"
    if days >= _FAIL_DAYS:
        return Finding(name, Status.FAIL, f"{told}: run `mailwarden secrets rotate --signing`")
    endless = sum(
        1 for _, state, key in keys if state == "published" and key.until is None and not key.signs_from
    )
    if days >= _WARN_DAYS or endless:
        more = f"; {endless} older keys have no end" if endless else ""
        return Finding(name, Status.WARN, f"{told}{more}: run `mailwarden secrets rotate --signing`")
    return Finding(name, Status.PASS, f"{told}, {len(keys)} in the file")
