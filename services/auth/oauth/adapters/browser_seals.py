"""What a browser carries for us: AES-256-GCM, bound to one purpose each, so none serves for another."""

import binascii
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12
_MAX_CHARS: Final = 16_384


class BrowserSeals:
    """Implements `ports.Seals`. `keys` gives the keys, the newest first."""

    def __init__(self, keys: Callable[[], tuple[bytes, ...]], now_s: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now_s = now_s

    def seal(self, purpose: str, content: Mapping[str, Any], life_s: int) -> str:
        """Write it down for one purpose and a time."""
        plain = json.dumps({"until": int(self._now_s()) + life_s, "said": dict(content)}).encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._keys()[0]).encrypt(nonce, plain, purpose.encode())
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """Read it back; None when it is not ours, for another purpose, or too old."""
        if not sealed or len(sealed) > _MAX_CHARS or not sealed.isascii():
            return None
        try:
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except (ValueError, binascii.Error):
            return None
        for key in self._keys():
            try:
                plain = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
            except (InvalidTag, ValueError):
                continue
            note = json.loads(plain)
            return note["said"] if note["until"] > self._now_s() else None
        return None
