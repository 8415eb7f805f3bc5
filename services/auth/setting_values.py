"""Values of settings that several groups of settings read the same way."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr


def secret_of(value: SecretStr, file: Path | None, name: str) -> str:
    """Read a secret from its variable or its file. Raises ValueError when that cannot be done."""
    if file is None:
        return value.get_secret_value().strip()
    if value.get_secret_value():
        raise ValueError(f"{name} and {name}_FILE are both set; unset one of them")
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE: {file} cannot be read ({type(error).__name__})") from None
    if not text:
        raise ValueError(f"{name}_FILE: {file} is empty")
    return text


def is_acceptable(url: str, *, is_production: bool) -> bool:
    """Whether an address may be trusted: https, or http on loopback in development; no user name."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and not is_production and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
