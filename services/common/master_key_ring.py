"""The master keys of one process: in a file, in a key service, or in both while one replaces the other."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Protocol, Self

from pydantic import Field, model_validator

from services.common.master_keys import FileMasterKeys, OneAgreed
from services.common.sealing import AgreedKeys, KeyMissingError, UnfitMasterKeysError
from services.common.settings import BaseServiceSettings
from services.common.web_address import is_identifier

_NAME: Final = r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,38}[A-Za-z0-9_])?$"
_PATH: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"


class MasterKeySettings(BaseServiceSettings):
    """Where the master keys are. With both, the key service seals and the file's keys still open."""

    master_key_file: Path | None = None
    master_key_vault_url: Annotated[str, Field(max_length=256)] = ""
    """Vault or OpenBao, for example https://vault.example:8200."""
    master_key_vault_key: Annotated[str, Field(pattern=_NAME)] = "mailwarden"
    """Name of the transit key."""
    master_key_vault_mount: Annotated[str, Field(pattern=_PATH)] = "transit"
    master_key_vault_namespace: Annotated[str, Field(max_length=256)] = ""
    master_key_vault_ca_file: Path | None = None
    master_key_vault_token_file: Path | None = None
    master_key_vault_role: Annotated[str, Field(max_length=128)] = ""
    """Role of the Kubernetes auth method, in place of a token file."""
    master_key_vault_role_mount: Annotated[str, Field(pattern=_PATH)] = "kubernetes"
    master_key_vault_role_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    master_key_vault_timeout_s: Annotated[float, Field(ge=0.1, le=30)] = 3.0

    @model_validator(mode="after")
    def _keys_are_somewhere(self) -> Self:
        url = self.master_key_vault_url
        if not url and self.master_key_file is None:
            raise ValueError("MASTER_KEY_FILE is missing; set it, or MASTER_KEY_VAULT_URL")
        if url and not is_identifier(url, is_production=self.is_production):
            raise ValueError("MASTER_KEY_VAULT_URL must be https:// (http:// on loopback, in development)")
        if url and bool(self.master_key_vault_role) == bool(self.master_key_vault_token_file):
            raise ValueError("set MASTER_KEY_VAULT_TOKEN_FILE or MASTER_KEY_VAULT_ROLE, one of them")
        return self


class KeySource(Protocol):
    """Some master keys, as `sealing.KeyWrapper` has them, that know which ids are theirs."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys that can be used now, the preferred first."""
        ...

    async def refresh(self) -> None:
        """Look which keys there are. Raises UnfitMasterKeysError, AppError KEY_SERVICE_DOWN."""
        ...

    def holds(self, key_id: str) -> bool:
        """Whether a key of this id would be here."""
        ...

    def binds_rows(self, key_id: str) -> bool:
        """Whether nothing but v3 was ever sealed under this key."""
        ...

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key."""
        ...

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key."""
        ...

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Decrypt what v1 sealed."""
        ...


class KeyRing(OneAgreed):
    """The keys of several sources, the preferred source first. Implements `sealing.AgreedKeys`."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """All that can be used now, the preferred first."""
        return tuple(key_id for source in self._sources for key_id in source.key_ids)

    async def refresh(self) -> None:
        """Look which keys there are. Raises UnfitMasterKeysError, AppError KEY_SERVICE_DOWN."""
        for source in self._sources:
            await source.refresh()
        if doubles := sorted({key_id for key_id in self.key_ids if self.key_ids.count(key_id) > 1}):
            raise UnfitMasterKeysError(f"the key file and the key service both have {', '.join(doubles)}")

    def binds_rows(self, key_id: str) -> bool:
        """Whether nothing but v3 was ever sealed under this key."""
        source = self._find(key_id)
        return source is not None and source.binds_rows(key_id)

    async def wrap(self, key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key. Raises KeyMissingError, AppError KEY_SERVICE_DOWN."""
        return await self._holding(key_id).wrap(key_id, data_key, context)

    async def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises SealError, AppError KEY_SERVICE_DOWN."""
        return await self._holding(key_id).unwrap(key_id, wrapped, context)

    async def open_direct(self, key_id: str, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Decrypt what v1 sealed. Raises SealError."""
        return await self._holding(key_id).open_direct(key_id, nonce, ciphertext, associated)

    def _holding(self, key_id: str) -> KeySource:
        source = self._find(key_id)
        if source is None:
            raise KeyMissingError(key_id)
        return source

    def _find(self, key_id: str) -> KeySource | None:
        return next((source for source in self._sources if source.holds(key_id)), None)


@contextlib.asynccontextmanager
async def opened_master_keys(settings: MasterKeySettings) -> AsyncIterator[AgreedKeys]:
    """Open the master keys that settings name. Raises ValueError or OSError; neither quotes a secret."""
    file = FileMasterKeys(settings.master_key_file) if settings.master_key_file else None
    if not settings.master_key_vault_url:
        assert file is not None  # noqa: S101  settings see to it
        yield file
        return
    # Imported only when used: an HTTP client in every process that has a file would be a waste.
    from services.common.transit_keys import TransitKeys
    from services.common.vault_api import VaultApi, VaultConfig

    api = VaultApi(
        VaultConfig(
            url=settings.master_key_vault_url.rstrip("/"),
            timeout_s=settings.master_key_vault_timeout_s,
            namespace=settings.master_key_vault_namespace,
            ca_file=settings.master_key_vault_ca_file,
            token_file=settings.master_key_vault_token_file,
            role=settings.master_key_vault_role,
            role_mount=settings.master_key_vault_role_mount,
            role_token_file=settings.master_key_vault_role_token_file,
        )
    )
    transit = TransitKeys(api, settings.master_key_vault_key, settings.master_key_vault_mount)
    try:
        yield KeyRing([transit, file] if file else [transit])
    finally:
        await api.close()
