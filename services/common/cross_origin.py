"""What pages of other origins may do here (CORS, as the Fetch standard has it in §3.2).

Cookies never come along: nothing here says `Access-Control-Allow-Credentials`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.common.errors import denied

MAX_AGE_S: Final = 600
"""How long a browser may remember what a preflight told."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """Which pages may call by which methods with which headers, and which headers of an answer they may read.

    `origins` are exact; None stands for any, for what holds nothing but what everybody may know or what the
    request itself proves a right to.
    """

    methods: tuple[str, ...]
    accepts: tuple[str, ...]
    exposes: tuple[str, ...] = ()
    origins: frozenset[str] | None = None

    def headers(self, origin: str | None) -> dict[str, str]:
        """Give what an answer to a page says; refusals say it too, or pages could not read them."""
        said = {} if self.origins is None else {"Vary": "Origin"}
        if self._allows(origin):
            said["Access-Control-Allow-Origin"] = "*" if self.origins is None else str(origin)
            said["Access-Control-Expose-Headers"] = ", ".join(self.exposes)
        return said

    def preflight(self, origin: str | None) -> dict[str, str]:
        """Give what the answer to a preflight says besides. Raises AppError ORIGIN_NOT_ALLOWED."""
        if not self._allows(origin):
            raise denied("ORIGIN_NOT_ALLOWED", "Pages of this Origin may not call.")
        return {
            "Access-Control-Allow-Methods": ", ".join(self.methods),
            "Access-Control-Allow-Headers": ", ".join(self.accepts),
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }

    def _allows(self, origin: str | None) -> bool:
        return self.origins is None or origin in self.origins


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks what a page may do. It shows no credential then. Headers in any case."""
    return (
        method == "OPTIONS"
        and bool(headers.get("Origin"))
        and bool(headers.get("Access-Control-Request-Method"))
    )


def is_origin(text: str) -> bool:
    """Whether a text is an origin as browsers write it: scheme, host, and the port if it is not the usual."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == _DEFAULT_PORTS[parts.scheme]:
        return False
    if "*" in parts.hostname:
        return False
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return text.isascii() and text == f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
