"""Files of signing keys that rotate by themselves: PEM blocks, each with its beginning and its end.

A rotation is one atomic write. The new key says when it begins to sign, by when everybody has fetched its
public half; the old one says when its last token has ended. Every replica follows by the clock, so there are
no steps to be run in order, and nothing is half done when whoever rotates is stopped. Text between PEM blocks
is allowed (RFC 7468 §2); ours is one line above a block:

    Mailwarden-Key: signs-from=2026-11-22T00:02:00Z until=2026-11-22T00:04:05Z

Without such a line a key signs from ever and has no end. The first key of the file that may sign does.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_BLOCK: Final = re.compile(
    rb"(?:^Mailwarden-Key:(?P<facts>[^\n]*)\n)?"
    rb"(?P<pem>-----BEGIN (?P<label>[A-Z ]+)-----.*?-----END (?P=label)-----)",
    re.DOTALL | re.MULTILINE,
)
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
_NAMES: Final = {"signs-from": "signs_from", "until": "until"}
_IGNORED: Final = b"PARAMETERS"
"""`openssl ecparam` writes a block of these in front of a key."""


@dataclass(frozen=True, slots=True)
class DatedKey:
    """One PEM block. Times are unix seconds; None is no bound."""

    pem: bytes = field(repr=False)
    signs_from: int | None = None
    until: int | None = None

    def counts(self, now_s: float) -> bool:
        """Whether what it signed is believed."""
        return self.until is None or now_s < self.until

    def signs(self, now_s: float) -> bool:
        """Whether it may sign."""
        return self.counts(now_s) and (self.signs_from is None or self.signs_from <= now_s)


def read_dated_keys(content: bytes) -> tuple[DatedKey, ...]:
    """Read a file. Raises ValueError for a line that cannot be understood; the text quotes nothing."""
    blocks = [match for match in _BLOCK.finditer(content) if _IGNORED not in match["label"]]
    if content.count(b"Mailwarden-Key:") != sum(match["facts"] is not None for match in blocks):
        raise ValueError("a Mailwarden-Key line stands directly above its PEM block")
    return tuple(DatedKey(match["pem"], **_times(match["facts"] or b"")) for match in blocks)


def write_dated_keys(keys: Iterable[DatedKey]) -> str:
    """Write a file."""
    parts: list[str] = []
    for key in keys:
        times = {"signs-from": key.signs_from, "until": key.until}
        facts = " ".join(f"{name}={_text(time)}" for name, time in times.items() if time is not None)
        parts += [f"Mailwarden-Key: {facts}\n"] if facts else []
        parts.append(key.pem.decode().strip() + "\n")
    return "".join(parts)


def rotated(
    keys: Sequence[DatedKey], new_pem: bytes, now_s: int, *, publish_s: int, life_s: int
) -> tuple[DatedKey, ...]:
    """Put a new key in front, to sign after `publish_s`.

    The old ones count until what they signed by then, which lives `life_s`, has ended.
    """
    switch = now_s + publish_s
    ending = [
        replace(key, until=min(key.until or switch + life_s, switch + life_s))
        for key in keys
        if key.counts(now_s)
    ]
    return (DatedKey(new_pem, signs_from=switch), *ending)


def signer_first(keys: Sequence[DatedKey], now_s: float) -> tuple[int, ...]:
    """Give the places of the keys that count, the one that signs first. Empty when none may sign."""
    places = [place for place, key in enumerate(keys) if key.counts(now_s)]
    signer = next((place for place in places if keys[place].signs(now_s)), None)
    if signer is None:
        return ()
    return (signer, *(place for place in places if place != signer))


def thumbprint(key: Ed25519PublicKey | EllipticCurvePublicKey) -> str:
    """Name a public key by its JWK thumbprint (RFC 7638, RFC 8037 §2)."""
    algorithm = "EdDSA" if isinstance(key, Ed25519PublicKey) else "ES256"
    jwk = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key))
    required = {name: jwk[name] for name in ("crv", "kty", "x", "y") if name in jwk}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _times(facts: bytes) -> dict[str, int]:
    times: dict[str, int] = {}
    for word in facts.decode("ascii", "replace").split():
        name, _, value = word.partition("=")
        if name not in _NAMES or _NAMES[name] in times:
            raise ValueError("a Mailwarden-Key line holds signs-from=… and until=…, each once")
        try:
            times[_NAMES[name]] = int(datetime.strptime(value, _FORM).replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise ValueError("times of a Mailwarden-Key line look like 2026-11-22T00:02:00Z") from None
    return times


def _text(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime(_FORM)
