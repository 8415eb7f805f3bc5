"""One world for each way to have Google: every contract test of a port runs in both."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.mail_core.adapters.backoff import Backoff
from services.mail_core.adapters.google_access import GoogleConfig, open_google
from tests.contract.ports.worlds import FakeWorld, SandboxWorld, World
from tests.fakes.sandbox_process import Sandbox, running_sandbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(
        tmp_path_factory.mktemp("sandbox"), SANDBOX_QUOTA_UNITS_PER_MINUTE="1000000"
    ) as started:
        yield started


@pytest.fixture(params=["memory", "google"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield FakeWorld()
        return
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    await sandbox.order(clear=True, restore_grant=True)
    config = GoogleConfig(
        api_endpoint=sandbox.google,
        token_uri=f"{sandbox.google}/token",
        units_per_minute=1_000_000,
        backoff=Backoff(first_s=0.001),
    )
    async with open_google(config) as google:
        yield SandboxWorld(sandbox, google, google.read_grant(await sandbox.token_json()))
