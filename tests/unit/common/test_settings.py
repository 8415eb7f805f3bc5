"""What a process says when its environment cannot be used: the name, and never the value."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from services.common.settings import (
    BaseServiceSettings,
    DatabaseSettings,
    EdgeSettings,
    MigrationSettings,
    read_settings,
)

SECRET = "planted-secret"


class Example(DatabaseSettings):
    """One field of each shape that our settings have."""

    numbers: dict[str, int] = Field(default_factory=dict)


GOOD = {
    "TLS_CERT_FILE": "c",
    "TLS_KEY_FILE": "k",
    "TLS_CA_FILE": "a",
    "DATABASE_URL": "postgresql://app@host/mail",
}


def refusal(monkeypatch: pytest.MonkeyPatch, cls: type[Any] = Example, **changes: str | None) -> str:
    for name, value in {**GOOD, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        read_settings(cls)
    return str(caught.value)


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to set."""
    assert refusal(monkeypatch, **{name: None}).splitlines()[1:] == [f"  {name}: Field required"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://root:{SECRET}@host/x"),
        ("DATABASE_POOL_SIZE", SECRET),
        ("DATABASE_POOL_SIZE", "101"),
        ("DRAIN_S", "-1"),
        ("DRAIN_S", SECRET),
        ("TRACE_SAMPLE_RATIO", "2"),
        ("LOG_LEVEL", SECRET),
        ("MAILWARDEN_ENV", SECRET),
        ("LISTEN", SECRET),
        ("LISTEN", "host:123456"),
        ("NUMBERS", f'{{"{SECRET}'),
        ("NUMBERS", f'{{"a": "{SECRET}"}}'),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminals and logs of start-up are read by many."""
    said = refusal(monkeypatch, **{name: value})
    assert name in said
    assert SECRET not in said


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each start."""
    said = refusal(monkeypatch, DRAIN_S="x", LOG_LEVEL="x", TLS_KEY_FILE=None)
    assert {line.split(":")[0].strip() for line in said.splitlines()[1:]} == {
        "DRAIN_S",
        "LOG_LEVEL",
        "TLS_KEY_FILE",
    }


@pytest.mark.parametrize("owner", ["postgresql://app:x@host/mail", "postgresql://host/mail"])
def test_migrations_want_another_user_than_the_service(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The role that serves must not own what row-level security guards."""
    said = refusal(monkeypatch, MigrationSettings, DATABASE_OWNER_URL=owner)
    assert "two different users" in said


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests set empty strings where nothing is wanted."""
    monkeypatch.setenv("DRAIN_S", "")
    assert BaseServiceSettings().drain_s == 10


def test_settings_show_no_password_and_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database URL holds one."""
    for name, value in {**GOOD, "DATABASE_URL": f"postgresql://app:{SECRET}@host/mail"}.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(Example)
    assert SECRET not in repr(settings) + str(settings)
    with pytest.raises(ValidationError):
        settings.drain_s = 1  # type: ignore[misc]


def test_every_setting_is_named_after_its_variable() -> None:
    """Lower case inside, upper case outside, and no alias between them."""
    for cls in (BaseServiceSettings, EdgeSettings, DatabaseSettings, MigrationSettings):
        for name, field in cls.model_fields.items():
            assert name == name.lower()
            assert field.alias is None
