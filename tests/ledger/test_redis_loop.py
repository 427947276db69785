"""An event loop that asks a Redis ledger itself: what it began, somebody ends."""

import asyncio
import contextlib
import gc
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis as client
from ledger_kit import PATIENT_S, ask, charged, figures, granted, line
from redis_kit import RedisServer, SlowProxy

from aden.errors import LedgerUnavailable
from aden.ledger import Grant
from aden.ledger.redis import RedisLedger


async def test_a_loop_that_asks_alone_does_not_wake_the_thread(own_redis: RedisLedger) -> None:
    """The two ways there and back are what it saves."""
    assert await asyncio.to_thread(own_redis.flush, 5)
    thread = own_redis._wire._thread
    assert thread is not None
    granted(await own_redis.areserve(ask("first", line(amount=1))))  # may load the scripts
    before = woken(thread)
    for number in range(90):
        granted(await own_redis.areserve(ask(f"{number}", line(amount=1))))
    assert woken(thread) - before < 10
    assert figures(own_redis) == (0, 0, 91)


def woken(thread: threading.Thread) -> int:
    """How often it has gone to sleep, and so has been woken."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])  # type: ignore[index]


async def test_a_loop_that_stands_still_after_it_asked_keeps_nobody_waiting(
    own_redis: RedisLedger,
) -> None:
    """Neither a thread that asks, nor a settlement, nor a process that ends."""
    waits: list[float] = []

    def ask_meanwhile() -> None:
        for number in range(5):
            time.sleep(0.01)
            started = time.monotonic()
            granted(own_redis.reserve(ask(f"thread {number}", line(amount=1))))
            waits.append(time.monotonic() - started)

    asking = asyncio.create_task(own_redis.areserve(ask("loop", line(amount=1))))
    await asyncio.sleep(0)
    thread = threading.Thread(target=ask_meanwhile)
    thread.start()
    time.sleep(0.6)  # a hook of the user's that blocks
    assert not thread.is_alive()
    granted(await asking)
    assert max(waits) < 0.1
    assert await asyncio.to_thread(figures, own_redis) == (0, 0, 6)


async def test_an_answer_that_was_there_in_time_counts_however_late_the_loop_looks(
    own_redis: RedisLedger,
) -> None:
    """The deadline is for the server."""
    asking = asyncio.create_task(own_redis.areserve(ask("loop", line(amount=1))))
    await asyncio.sleep(0)
    time.sleep(0.6)
    granted(await asking)


async def test_who_is_cancelled_between_question_and_answer_holds_nothing(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """However soon it goes on: the next one is answered as if nobody had been there."""
    for pause_s in (0.0, 0.0001, 0.0003, 0.001) * 10:
        asking = asyncio.create_task(own_redis.areserve(ask(f"gone {pause_s}", line(amount=100))))
        await asyncio.sleep(pause_s)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            granted(await asking)
            own_redis.settle(charged(f"gone {pause_s}", 0))
        granted(await own_redis.areserve(ask("next", line(amount=100))))
        own_redis.settle(charged("next", 0))
    own_server.signal(signal.SIGSTOP)
    asking = asyncio.create_task(own_redis.areserve(ask("stopped", line(amount=100))))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    own_server.signal(signal.SIGCONT)
    granted(await own_redis.areserve(ask("next", line(amount=100))))


def test_a_loop_that_is_gone_leaves_its_answer_to_others(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """Closed with the question open, as by a program that ends in mid-call: nothing stays held."""
    own_server.signal(signal.SIGSTOP)
    loop = asyncio.new_event_loop()
    asking = loop.create_task(own_redis.areserve(ask("gone", line(amount=100))))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del asking, loop
    own_server.signal(signal.SIGCONT)
    deadline = time.monotonic() + 5
    while not isinstance(own_redis.reserve(ask("next", line(amount=100))), Grant):
        assert time.monotonic() < deadline
        gc.collect()
    own_redis.settle(charged("next", 100))
    assert own_redis.flush(5)
    assert figures(own_redis) == (100, 0, 0)


@pytest.mark.parametrize("piece_bytes", [1, 7, 60])
async def test_an_answer_in_pieces_is_read_and_the_loop_runs_meanwhile(
    redis_server: RedisServer, piece_bytes: int
) -> None:
    """A packet that was lost must not stop every call of the process."""
    proxy = SlowProxy(redis_server.port, 0.0005, piece_bytes)
    ledger = RedisLedger(proxy.url(), deadline_s=PATIENT_S)
    longest = 0.0
    try:
        for number in range(5):
            asking = asyncio.ensure_future(ledger.areserve(ask(f"{number}", line(amount=1))))
            while not asking.done():
                before = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
            granted(await asking)
    finally:
        await asyncio.to_thread(ledger.close)
        proxy.close()
    assert longest < 0.1


async def test_a_server_that_forgot_the_scripts_or_closed_the_connection_is_asked_again(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """By the thread; who asks does not notice."""
    operator = client.Redis(port=own_server.port)
    for number in range(10):
        operator.script_flush()
        granted(await own_redis.areserve(ask(f"a {number}", line(amount=1))))
        operator.client_kill_filter(_type="normal", skipme=True)
        granted(await own_redis.areserve(ask(f"b {number}", line(amount=1))))
    operator.close()
    assert await asyncio.to_thread(figures, own_redis) == (0, 0, 20)


async def test_a_server_that_dies_between_question_and_answer_is_an_outage(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """Said within the deadline."""
    own_server.signal(signal.SIGSTOP)
    asking = asyncio.create_task(own_redis.areserve(ask("a", line(amount=1))))
    await asyncio.sleep(0.01)
    own_server.kill()
    started = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        await asking
    assert time.monotonic() - started < 0.5


def test_loops_and_threads_that_ask_at_once_are_all_answered(own_redis: RedisLedger) -> None:
    """Four loops and two threads on one connection; what is booked is what was asked."""
    troubles: list[BaseException] = []

    async def calls(name: str) -> None:
        async def one(number: int) -> None:
            operation = f"{name} {number}"
            granted(await own_redis.areserve(ask(operation, line(limit=10**9, amount=5))))
            own_redis.settle(charged(operation, 2))

        for number in range(0, 200, 2):
            await asyncio.gather(one(number), one(number + 1))

    def wait(name: str) -> None:
        for number in range(200):
            granted(own_redis.reserve(ask(f"{name} {number}", line(limit=10**9, amount=5))))
            own_redis.settle(charged(f"{name} {number}", 2))

    def guarded(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [
        threading.Thread(target=guarded, args=(lambda name: asyncio.run(calls(name)), f"loop {n}"))
        for n in range(4)
    ]
    threads += [threading.Thread(target=guarded, args=(wait, f"thread {n}")) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not troubles
    assert own_redis.flush(5)
    assert figures(own_redis) == (2 * 200 * 6, 0, 0)
