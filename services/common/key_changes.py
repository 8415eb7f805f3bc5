"""Records when another key begins to sign or to seal: whoever put it there wrote a file, no RPC saw it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.common.audit import AuditEvent, audit_event
from services.common.background import in_background
from services.common.context import Call
from services.common.errors import AppError

_LOOK_EVERY_S: Final = 1.0

KeyIds = Mapping[str, Callable[[], str]]
"""By what a key is for, the id of the one in use. Raises AppError while that is not settled."""
Note = Callable[[AuditEvent], Awaitable[None]]


@contextlib.asynccontextmanager
async def recording_key_changes(
    service: str, keys: KeyIds, note: Note, *, every_s: float = _LOOK_EVERY_S
) -> AsyncIterator[None]:
    """Look every second until the block ends, and note each change with the new key's id."""
    watch = _Watch(Call(request_id="", peer=service), keys, note, _in_use(keys))
    async with in_background(watch.run(every_s)):
        yield


@dataclass(slots=True)
class _Watch:
    call: Call
    keys: KeyIds
    note: Note
    known: dict[str, str]

    async def run(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            for purpose, key_id in _in_use(self.keys).items():
                if self.known.setdefault(purpose, key_id) != key_id:
                    self.known[purpose] = key_id
                    await self.note(self._event(purpose, key_id))

    def _event(self, purpose: str, key_id: str) -> AuditEvent:
        resource = f"key_in_use:{key_id}"
        return audit_event("keys.changed", resource=resource, call=self.call, kind=purpose)


def _in_use(keys: KeyIds) -> dict[str, str]:
    found = {}
    for purpose, key_id in keys.items():
        with contextlib.suppress(AppError):
            found[purpose] = key_id()
    return found
