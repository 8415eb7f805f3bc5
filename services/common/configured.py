"""What a process says of its settings when it starts, so that a change of configuration leaves a trace.

Names of what was set, and one digest over the values; no value, and of secrets not even a digest.
"""

import hashlib
import json
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.common.audit import AuditEvent, audit_event
from services.common.context import Call
from services.common.settings import BaseServiceSettings

_DIGEST_CHARS: Final = 16


def configured(service: str, settings: BaseServiceSettings) -> AuditEvent:
    """Make the event of a start. Two starts of a service with the same digest had the same settings."""
    fields = type(settings).model_fields
    chosen = sorted(name for name in settings.model_fields_set if name in fields)
    shown = {name: str(getattr(settings, name)) for name in fields if not _is_secret(settings, name, fields)}
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
    return audit_event(
        "service.configured",
        resource=f"service:{service}",
        call=Call(request_id="", peer=service),
        mode=settings.mailwarden_env,
        settings=" ".join(name.upper() for name in chosen),
        settings_digest=digest[:_DIGEST_CHARS],
    )


def _is_secret(settings: BaseServiceSettings, name: str, fields: dict[str, FieldInfo]) -> bool:
    return not fields[name].repr or isinstance(getattr(settings, name), SecretStr)
