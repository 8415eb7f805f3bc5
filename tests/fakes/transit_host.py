"""A Vault, as much of it as master keys need, over HTTPS: transit keys, tokens, Kubernetes login, troubles.

Written after the sources of OpenBao (`builtin/logical/transit/path_{encrypt,decrypt,keys}.go`): a batch in
which an item fails is answered with 400 and all its results; a key that there is not with 400 for a batch and
404 for a look; a bad token with 403; a sealed server with 503.
"""

import asyncio
import base64
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.cli.certificates import CertificateFolder, ensure_certificates, utc_now

TOKEN = "hvs.planted-token-of-the-test"


@dataclass
class TransitKey:
    """One key of the engine: its versions, and what may still be opened."""

    versions: dict[int, bytes] = field(default_factory=lambda: {1: secrets.token_bytes(32)}, repr=False)
    type: str = "aes256-gcm96"
    derived: bool = False
    min_decryption_version: int = 1

    @property
    def latest(self) -> int:
        return max(self.versions)

    def rotate(self) -> None:
        self.versions[self.latest + 1] = secrets.token_bytes(32)


@dataclass
class TransitHost:
    """A Vault and the troubles that a test orders for it.

    `statuses` are answered first, one a request; `raw` in place of every body; `may_answer` holds answers
    back. `old_errors` answers a wrong ciphertext with 500, as versions of Vault did.
    """

    keys: dict[str, TransitKey] = field(default_factory=lambda: {"mailwarden": TransitKey()})
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    roles: dict[str, str] = field(default_factory=dict, repr=False)
    namespace: str = ""
    is_sealed: bool = False
    old_errors: bool = False
    raw: bytes | None = None
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    ca_file: Path = Path()

    async def answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        body = await request.json() if request.can_read_body else {}
        self.requests.append((path, len(body.get("batch_input", ()))))
        await self.may_answer.wait()
        if (trouble := self._trouble()) is not None:
            return trouble
        is_login = path.startswith("auth/")
        is_known = is_login or request.headers.get("X-Vault-Token") in self.tokens
        if not is_known or request.headers.get("X-Vault-Namespace", "") != self.namespace:
            return _errors(403, "permission denied")
        return self._log_in(path, body) if is_login else self._transit(path, body)

    def _trouble(self) -> web.Response | None:
        if self.statuses:
            status = self.statuses.pop(0)
            headers = {"Location": f"{self.url}/v1/elsewhere"} if status == 307 else None
            return web.json_response({"errors": ["ordered"]}, status=status, headers=headers)
        if self.raw is not None:
            return web.Response(body=self.raw, content_type="application/json")
        return _errors(503, "Vault is sealed") if self.is_sealed else None

    def _transit(self, path: str, body: dict[str, Any]) -> web.Response:
        _, verb, name = path.split("/")
        key = self.keys.get(name)
        if verb == "keys":
            return _errors(404) if key is None else _data(_described(name, key))
        if key is None:
            return _errors(400, "encryption key not found")
        return self._batch(key, verb, body)

    def _log_in(self, path: str, body: dict[str, Any]) -> web.Response:
        if path != "auth/kubernetes/login" or self.roles.get(body["role"]) != body["jwt"]:
            return _errors(403, "permission denied")
        token = f"hvs.{secrets.token_hex(8)}"
        self.tokens.add(token)
        return web.json_response({"auth": {"client_token": token, "lease_duration": 3600, "renewable": True}})

    def _batch(self, key: TransitKey, verb: str, body: dict[str, Any]) -> web.Response:
        do = _encrypt if verb == "encrypt" else _decrypt
        results = [do(key, item) for item in body["batch_input"]]
        failed = any("error" in result for result in results)
        return _data({"batch_results": results}, (500 if self.old_errors else 400) if failed else 200)


def _encrypt(key: TransitKey, item: dict[str, Any]) -> dict[str, Any]:
    version = item.get("key_version") or key.latest
    if version not in key.versions:
        return {"error": "invalid key version", "reference": ""}
    nonce = secrets.token_bytes(12)
    plaintext, associated = (base64.b64decode(item[name]) for name in ("plaintext", "associated_data"))
    sealed = nonce + AESGCM(key.versions[version]).encrypt(nonce, plaintext, associated)
    text = f"vault:v{version}:{base64.b64encode(sealed).decode()}"
    return {"ciphertext": text, "key_version": version, "reference": ""}


def _decrypt(key: TransitKey, item: dict[str, Any]) -> dict[str, Any]:
    _, version, encoded = item["ciphertext"].split(":")
    number = int(version.removeprefix("v"))
    if number < key.min_decryption_version:
        error = "ciphertext or signature version is disallowed by policy (too old)"
        return {"plaintext": "", "error": error, "reference": ""}
    try:
        sealed = base64.b64decode(encoded, validate=True)
        associated = base64.b64decode(item["associated_data"])
        opened = AESGCM(key.versions[number]).decrypt(sealed[:12], sealed[12:], associated)
    except InvalidTag:
        return {"plaintext": "", "error": "cipher: message authentication failed", "reference": ""}
    except (ValueError, KeyError):
        return {"plaintext": "", "error": "invalid ciphertext: could not decode base64", "reference": ""}
    return {"plaintext": base64.b64encode(opened).decode(), "reference": ""}


def _described(name: str, key: TransitKey) -> dict[str, Any]:
    return {
        "name": name, "type": key.type, "derived": key.derived, "latest_version": key.latest,
        "min_decryption_version": key.min_decryption_version, "min_encryption_version": 0,
        "supports_encryption": True, "keys": dict.fromkeys(map(str, key.versions), 1700000000),
    }  # fmt: skip


def _data(data: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response({"request_id": "r", "lease_id": "", "data": data}, status=status)


def _errors(status: int, *texts: str) -> web.Response:
    return web.json_response({"errors": list(texts)}, status=status)


@contextlib.asynccontextmanager
async def serving_transit(folder: Path) -> AsyncIterator[TransitHost]:
    """Serve over TLS on loopback while the block runs, by an authority that is kept in `folder`."""
    certs = CertificateFolder(folder)
    ensure_certificates(certs, utc_now())
    host = TransitHost(ca_file=folder / "ca.pem")
    host.may_answer.set()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "auth.pem", folder / "auth.key")
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.+}", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield host
    finally:
        host.may_answer.set()
        await runner.cleanup()
