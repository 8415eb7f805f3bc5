"""The state files of the personal agent: which unsubscribe links and addresses it has used or shown.

Their layout is nowhere written down, so every link in them counts, wherever it stands.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from services.mail_core.domain.errors import DomainError
from services.mail_core.domain.target import canonical_target

_SCHEMES: Final = ("https://", "http://", "mailto:")
_MAX_TARGETS: Final = 50_000
_MAX_TARGET_CHARS: Final = 8_192


def targets_in(content: str, field: str) -> tuple[str, ...]:
    """Give the targets of a state file, each once, as `canonical_target`. Empty content has none.

    Raises DomainError STATE_FILE_INVALID.
    """
    if not content.strip():
        return ()
    try:
        decoded = json.loads(content)
    except (ValueError, RecursionError):
        raise DomainError("STATE_FILE_INVALID", "The state file is not JSON.", field) from None
    targets = tuple(dict.fromkeys(canonical_target(uri) for uri in _targets(decoded)))
    if len(targets) > _MAX_TARGETS:
        raise DomainError("STATE_FILE_INVALID", f"The state file has more than {_MAX_TARGETS} links.", field)
    return targets


def _targets(value: Any) -> Iterator[str]:
    """Walk through nested lists and objects, keys included."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend([*value.keys(), *value.values()])
        elif isinstance(value, list):
            pending.extend(value)
        elif (
            isinstance(value, str) and value.lower().startswith(_SCHEMES) and len(value) <= _MAX_TARGET_CHARS
        ):
            yield value
