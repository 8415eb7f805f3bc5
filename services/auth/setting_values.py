"""Values of settings that several groups of settings read the same way."""

from pathlib import Path

from pydantic import SecretStr

from services.common.web_address import is_acceptable

__all__ = ["is_acceptable", "secret_of"]


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
