"""What a process says of its settings: which, and whether they changed; no value."""

from typing import Annotated

from pydantic import Field, SecretStr

from services.common.configured import configured
from services.common.settings import BaseServiceSettings


class Settings(BaseServiceSettings):
    """Some of each kind."""

    colour: str = "red"
    url: Annotated[str, Field(repr=False)] = "redis://:planted@host"
    password: SecretStr = SecretStr("planted")


def test_a_changed_value_changes_the_digest_and_is_not_told() -> None:
    """Also one that was set to what it would be anyway is named."""
    one, other = (configured("auth", Settings(colour=colour)) for colour in ("red", "blue"))
    assert one.facts["settings_digest"] != other.facts["settings_digest"]
    assert one.facts["settings"] == other.facts["settings"] == "COLOUR"
    assert one.resource == "service:auth"
    assert "blue" not in str(other)


def test_a_secret_is_not_even_in_the_digest() -> None:
    """A digest of a weak secret could be guessed."""
    changes = ({"password": SecretStr("other")}, {"url": "redis://:other@host"})
    plain = configured("auth", Settings()).facts["settings_digest"]
    assert {configured("auth", Settings(**each)).facts["settings_digest"] for each in changes} == {plain}
