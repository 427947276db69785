"""Many processes on one Redis ledger: no overspend, nothing lost; forks, exits, cancellations."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from itertools import pairwise

import pytest
from ledger_kit import (
    PATIENT_S,
    ask,
    charged,
    claimed,
    figures,
    finished,
    granted,
    line,
    python,
    said,
)
from redis_kit import RedisServer

from aden.errors import LedgerUnavailable
from aden.ledger import Settlement
from aden.ledger.redis import RedisLedger

CALLERS = """
import asyncio, sys
from ledger_kit import *

ledger = RedisLedger(sys.argv[1], deadline_s=PATIENT_S)
me, limit = sys.argv[2], int(sys.argv[3])
spent = []

async def work(caller):
    number = 0
    while True:
        number += 1
        name = f"{me}-{caller}-{number}"
        wanted = ask(name, line(amount=5, limit=limit), line("c", 1, 10**9))
        answer = await ledger.areserve(wanted)
        if isinstance(answer, Refusal):
            if answer.reason == "exhausted":
                return
            await asyncio.sleep(0.001)
        elif number % 7 == 0:
            ledger.settle(Settlement(name))
        else:
            ledger.settle(charged(name, 5))
            spent.append(5)

async def main():
    await asyncio.gather(*(work(caller) for caller in range(25)))

print("open", flush=True)
sys.stdin.readline()
asyncio.run(main())
assert ledger.flush(10)
print(sum(spent))
"""


def test_four_processes_of_25_callers_spend_one_limit_to_the_last_unit(
    redis_server: RedisServer,
) -> None:
    """What they were granted and charged is the limit exactly."""
    limit, url = 5_000, redis_server.url()
    processes = [python(CALLERS, url, me, limit) for me in range(4)]
    for process in processes:
        assert said(process) == "open"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    spent = [int(finished(process)) for process in processes]

    ledger = RedisLedger(url, deadline_s=PATIENT_S)
    assert sum(spent) == limit
    assert figures(ledger) == (limit, 0, 0)
    assert figures(ledger, "c") == (0, 0, 0)
    ledger.close()


def test_a_killed_process_loses_no_spend(redis: RedisLedger, redis_server: RedisServer) -> None:
    """SIGKILL: sent holds become unconfirmed at their last progress, unsent ones are released."""
    program = """
import sys
from ledger_kit import *
ledger = RedisLedger(sys.argv[1], deadline_s=PATIENT_S)
for name in ("sent", "streaming", "throttled"):
    granted(ledger.reserve(ask(name, line(name, 10), lease_ms=700)))
ledger.renew({"streaming": [3]}, 700)
ledger.mark_sent("throttled", sent=False)
assert ledger.flush(5)
print("holds", flush=True)
sys.stdin.readline()
"""
    process = python(program, redis_server.url(redis.url.partition("namespace=")[2]))
    assert said(process) == "holds"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    keys = ("sent", "streaming", "throttled")

    assert [figures(redis, key) for key in keys] == [(0, 0, 10)] * 3
    time.sleep(0.8)
    assert [figures(redis, key) for key in keys] == [(0, 10, 0), (0, 3, 0), (0, 0, 0)]


def test_scripts_that_the_server_forgot_are_sent_again_in_order(
    redis: RedisLedger, redis_server: RedisServer
) -> None:
    """SCRIPT FLUSH in mid-run: a release before a reserve stays before it."""
    client = redis_server.client()
    for number in range(20):
        granted(redis.reserve(ask(f"{number}", line(amount=100))))
        client.script_flush()
        redis.settle(Settlement(f"{number}"))
    assert redis.flush(2)
    client.script_flush()

    granted(redis.reserve(ask("last", line(amount=100))))
    assert figures(redis) == (0, 0, 100)
    client.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_and_its_parent_both_go_on(redis: RedisLedger) -> None:
    """Each has a connection and a thread of its own."""
    granted(redis.reserve(ask("parent", line(amount=30))))
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            granted(redis.reserve(ask("child", line(amount=20))))
            redis.settle(charged("child", 5))
            asyncio.run(redis.areserve(ask("async child", line(amount=1))))
            redis.close()
            failed = 0
        finally:
            os._exit(failed)
    granted(redis.reserve(ask("meanwhile", line(amount=10))))
    _, status = os.waitpid(child, 0)

    assert status == 0
    redis.settle(charged("parent", 7))
    assert figures(redis) == (12, 0, 11)


@pytest.mark.parametrize("ending", ["", "raise SystemExit", "raise ValueError"])
def test_a_process_that_ends_books_what_it_put_off(redis_server: RedisServer, ending: str) -> None:
    """Also from a destructor that runs while the interpreter shuts down, and within 2 s."""
    program = f"""
import sys
from ledger_kit import *
ledger = RedisLedger(sys.argv[1], deadline_s=PATIENT_S)
granted(ledger.reserve(ask("a", line())))
granted(ledger.reserve(ask("garbage", line("g"))))
class Abandoned:
    def __del__(self, settle=ledger.settle, settlement=charged("garbage", 3, "g")):
        settle(settlement)
sys.modules["abandoned"] = Abandoned()
ledger.settle(charged("a", 7))
{ending}
"""
    url = redis_server.url()
    started = time.monotonic()
    _, errors = python(program, url).communicate(timeout=10)
    assert time.monotonic() - started < 5
    assert "Exception ignored" not in errors

    ledger = RedisLedger(url, deadline_s=PATIENT_S)
    assert figures(ledger) == (7, 0, 0)
    assert figures(ledger, "g") == (3, 0, 0)
    ledger.close()


def test_an_exit_does_not_wait_for_a_server_that_never_answers(own_server: RedisServer) -> None:
    """A process with a stuck ledger is gone within about 2 s."""
    program = """
import sys
from ledger_kit import *
ledger = RedisLedger(sys.argv[1], deadline_s=PATIENT_S)
print("open", flush=True)
sys.stdin.readline()
for number in range(20):
    ledger.settle(charged(f"{number}", 7))
"""
    process = python(program, own_server.url())
    assert said(process) == "open"
    own_server.signal(signal.SIGSTOP)
    started = time.monotonic()
    process.communicate("\n", timeout=30)
    assert 1.5 < time.monotonic() - started < 10


async def test_a_cancelled_caller_holds_nothing(redis: RedisLedger) -> None:
    """Cancelled before, while and after the request is on its way."""
    for pause_s in (0, 0, 0.0001, 0.0003, 0.001, 0.005):
        tasks = [
            asyncio.create_task(redis.areserve(ask(f"{pause_s}-{n}", line(amount=1))))
            for n in range(20)
        ]
        await asyncio.sleep(pause_s)
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for number, answer in enumerate(answers):
            if not isinstance(answer, asyncio.CancelledError):
                redis.settle(Settlement(f"{pause_s}-{number}"))

    assert await asyncio.to_thread(redis.flush, 2)
    await asyncio.sleep(0.05)
    assert await asyncio.to_thread(figures, redis) == (0, 0, 0)


def test_a_loop_that_ends_in_the_middle_of_a_reserve_holds_nothing(redis: RedisLedger) -> None:
    """And the next loop works: no connection belongs to a loop."""
    for number in range(10):
        loop = asyncio.new_event_loop()
        task = loop.create_task(redis.areserve(ask(f"{number}", line(amount=1))))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            redis.settle(Settlement(loop.run_until_complete(task).operation))  # it was quicker
        loop.close()

        grant = asyncio.run(redis.areserve(ask(f"again {number}", line(amount=1))))
        redis.settle(Settlement(grant.operation))

    assert redis.flush(2)
    time.sleep(0.05)
    assert figures(redis) == (0, 0, 0)


async def test_a_burst_of_settlements_does_not_stall_the_loop(redis: RedisLedger) -> None:
    """Two thousand bookings beside a loop that ticks."""
    ticks = [time.monotonic()]

    async def tick() -> None:
        while len(ticks) < 300:
            await asyncio.sleep(0.001)
            ticks.append(time.monotonic())

    watch = asyncio.create_task(tick())
    for number in range(2_000):
        redis.settle(charged(f"{number}", 1))
        if number % 50 == 0:
            await asyncio.sleep(0)
    await watch

    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.1
    assert await asyncio.to_thread(redis.flush, 5)
    assert await asyncio.to_thread(figures, redis) == (2_000, 0, 0)


def test_a_closed_ledger_opens_again_for_a_late_settlement(redis: RedisLedger) -> None:
    """A stream that ends after `close` is booked all the same."""
    granted(redis.reserve(ask("a", line())))
    redis.close()
    redis.close()
    assert redis._wire._thread not in threading.enumerate()

    redis.settle(charged("a", 7))

    assert figures(redis) == (7, 0, 0)


def test_one_claim_of_an_alert_wins_over_all_processes(
    redis: RedisLedger, redis_server: RedisServer
) -> None:
    """Twenty claims from two handles."""
    other = RedisLedger(
        redis_server.url(redis.url.partition("namespace=")[2]), deadline_s=PATIENT_S
    )
    claims = [claimed(store, "b", "w", 80) for _ in range(10) for store in (redis, other)]

    assert sum(each is not None for each in claims) == 1
    other.close()


def test_typical_outputs_are_known_when_the_ledger_opens(redis_server: RedisServer) -> None:
    """A process that lives for one call starts with what the fleet has learned."""
    url = redis_server.url()
    teacher = RedisLedger(url, deadline_s=PATIENT_S)
    for number in range(10):
        teacher.settle(Settlement(f"{number}", output=("openai/gpt-4o", 100)))
    teacher.close()

    pupil = RedisLedger(url, deadline_s=PATIENT_S)
    assert pupil.typical_output("openai/gpt-4o") == 104
    pupil.close()


def test_namespaces_do_not_see_each_other(redis: RedisLedger, redis_server: RedisServer) -> None:
    """Two ledgers in one database."""
    other = RedisLedger(redis_server.url(), deadline_s=PATIENT_S)
    granted(redis.reserve(ask("a", line(amount=100))))
    granted(other.reserve(ask("a", line(amount=100))))
    other.close()


@pytest.mark.timeout(20)
def test_no_deadlock_when_no_thread_can_be_started(
    redis: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of threads: reserve is refused, settle returns, later all is booked."""
    redis.close()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        redis.settle(charged("a", 7))
        patch.setattr(redis._wire, "_deadline_s", 0.1)
        with pytest.raises(LedgerUnavailable):
            redis.reserve(ask("c", line()))
    redis.mark_sent("nobody", sent=True)

    assert redis.flush(5)
    assert figures(redis) == (7, 0, 0)
