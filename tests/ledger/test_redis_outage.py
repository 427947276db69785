"""What becomes of a Redis ledger's callers and bookings when the server does not answer."""

import asyncio
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_kit import PATIENT_S, ask, charged, figures, granted, line
from redis_kit import RedisServer, SlowProxy

from aden.errors import LedgerError, LedgerSaturated, LedgerUnavailable
from aden.ledger import Grant, Settlement
from aden.ledger.redis import RedisLedger


def until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_is_killed_and_restarted_loses_nothing(
    own_redis: RedisLedger, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Holds and spend stand; what was settled meanwhile is booked later; two lines are logged."""
    granted(own_redis.reserve(ask("a", line(amount=30))))
    granted(own_redis.reserve(ask("open", line(amount=5))))
    assert own_redis.flush(2)
    own_server.kill()

    for number in range(10):
        with pytest.raises(LedgerUnavailable):
            own_redis.reserve(ask(f"{number}", line()))
    own_redis.settle(charged("a", 7))
    own_redis.settle(charged("kept locally", 4))
    assert not own_redis.flush(0.2)
    own_server.start()

    assert own_redis.flush(10)
    assert figures(own_redis) == (11, 0, 5)
    said = [record.message for record in caplog.records if record.name == "aden.ledger"]
    assert [message.split(" is ")[-1][:4] for message in said if " is down" in message] == ["down"]
    assert len([message for message in said if "answers again after" in message]) == 1
    assert len(said) == 2


def test_a_restart_between_two_calls_is_not_noticed(
    own_redis: RedisLedger, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that broke while idle is opened again within the same call."""
    granted(own_redis.reserve(ask("a", line(amount=30))))
    own_server.kill()
    own_server.start()

    granted(own_redis.reserve(ask("c", line(amount=30))))
    assert figures(own_redis) == (0, 0, 60)
    assert not caplog.records


def test_a_server_that_never_answers_costs_one_deadline_and_then_nothing(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """After three time-outs in a row, callers are refused at once until a probe gets through."""
    granted(own_redis.reserve(ask("a", line(amount=30))))
    own_server.signal(signal.SIGSTOP)

    started = time.monotonic()
    with pytest.raises(LedgerUnavailable, match=r"did not answer|not available"):
        own_redis.reserve(ask("c", line()))
    assert 0.2 < time.monotonic() - started < 1
    until(lambda: own_redis._wire.pump.outage.is_on or _refused(own_redis))

    started = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="is down"):
        own_redis.reserve(ask("d", line()))
    own_redis.settle(charged("a", 7))
    assert own_redis.typical_output("m") is None
    assert time.monotonic() - started < 0.1

    own_server.signal(signal.SIGCONT)
    assert own_redis.flush(10)
    until(lambda: figures(own_redis) == (7, 0, 0))
    granted(own_redis.reserve(ask("e", line(amount=93))))


def _refused(ledger: RedisLedger) -> bool:
    with pytest.raises(LedgerError):
        ledger.reserve(ask("again", line(amount=1)))
    return False


def test_a_reserve_that_timed_out_holds_nothing_however_late_it_arrives(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """The server gets it after the caller has gone: it is taken back, whichever comes first."""
    granted(own_redis.reserve(ask("first", line(amount=1))))
    own_server.signal(signal.SIGSTOP)
    for number in range(3):
        with pytest.raises(LedgerUnavailable):
            own_redis.reserve(ask(f"late {number}", line(amount=20)))
    own_server.signal(signal.SIGCONT)

    assert own_redis.flush(10)
    time.sleep(0.3)
    assert figures(own_redis) == (0, 0, 1)


def test_an_allowance_that_was_spent_meanwhile_is_booked_once(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """The request left without a hold; its settlement, twice, is one charge."""
    own_server.signal(signal.SIGSTOP)
    with pytest.raises(LedgerUnavailable):
        own_redis.reserve(ask("a", line(amount=20)))
    own_redis.mark_sent("a", sent=True)
    own_redis.settle(charged("a", 9))
    own_redis.settle(charged("a", 9))
    own_server.signal(signal.SIGCONT)

    assert own_redis.flush(10)
    time.sleep(0.2)
    assert figures(own_redis) == (9, 0, 0)
    granted(own_redis.reserve(ask("c", line(amount=91))))


async def test_callers_of_a_loop_wait_no_longer_than_the_deadline(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """And the loop runs meanwhile."""
    own_server.signal(signal.SIGSTOP)
    started = time.monotonic()
    asked = [own_redis.areserve(ask(f"{number}", line())) for number in range(50)]
    answers = asyncio.gather(*asked, return_exceptions=True)
    longest = 0.0
    while not answers.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)

    assert time.monotonic() - started < 1.5
    assert longest < 0.2
    assert {type(answer) for answer in await answers} == {LedgerUnavailable}
    own_server.signal(signal.SIGCONT)
    assert own_redis.flush(10)
    time.sleep(0.2)
    assert await asyncio.to_thread(figures, own_redis) == (0, 0, 0)


def test_a_port_that_accepts_and_says_nothing_is_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the start too: the ledger opens, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        ledger = RedisLedger(f"redis://127.0.0.1:{deaf.getsockname()[1]}")
        assert time.monotonic() - started < 2.5
        started = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            ledger.reserve(ask("a", line()))
        ledger.settle(charged("a", 7))
        assert not ledger.flush(0.1)
        assert time.monotonic() - started < 1.5
        until(lambda: "is down: Timeout" in caplog.text)
        ledger._wire.close(0.1)


def test_more_than_can_be_sent_in_time_is_saturation_and_not_an_outage(
    redis_server: RedisServer,
) -> None:
    """A server 400 ms away answers every batch, but not this many in two seconds."""
    proxy = SlowProxy(redis_server.port, 0.4)
    ledger = RedisLedger(proxy.url(), deadline_s=2.0)

    async def burst() -> list[object]:
        asked = (ledger.areserve(ask(f"{n}", line(amount=1, limit=10**6))) for n in range(3_000))
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(burst())
    kinds = {type(answer) for answer in answers}
    held = len([answer for answer in answers if not isinstance(answer, LedgerError)])

    assert kinds == {Grant, LedgerSaturated}
    assert not issubclass(LedgerSaturated, LedgerUnavailable)
    assert not ledger._wire.pump.outage.is_on
    assert ledger.flush(10)
    assert figures(ledger) == (0, 0, held)
    ledger.close()
    proxy.close()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_burst_of_two_thousand_tells_a_queue_from_an_outage(
    paused: bool, own_server: RedisServer
) -> None:
    """All within about a deadline: who is late behind others is told so, nobody of an outage.

    While the server says nothing, it is an outage for all, also for those whose turn never came.
    """
    ledger = RedisLedger(own_server.url())
    await ledger.areserve(ask("first", line(amount=1, limit=10**6)))
    client = own_server.client()
    if paused:
        client.client_pause(5_000, all=True)
    started = time.monotonic()
    asked = (ledger.areserve(ask(f"{n}", line(amount=1, limit=10**6))) for n in range(2_000))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    took = time.monotonic() - started

    kinds = Counter(type(answer) for answer in answers)
    if paused:  # who waited for this machine more than for the server may be told so
        assert kinds[Grant] == 0
        assert kinds[LedgerUnavailable] > 1_000
    else:
        assert kinds[LedgerUnavailable] == 0
        assert kinds[Grant] > 0
    assert took < 10
    await asyncio.to_thread(ledger.flush, 20)
    assert ledger._wire.pump.outage.is_on is False
    granted = sum(isinstance(answer, Grant) for answer in answers)
    assert await asyncio.to_thread(figures, ledger) == (0, 0, granted + 1)
    await asyncio.to_thread(ledger.close)
    client.close()


async def test_a_burst_waits_instead_of_failing(redis_server: RedisServer) -> None:
    """Five hundred callers at once: exactly as many grants as fit, and nobody gets an error."""
    ledger = RedisLedger(redis_server.url(), deadline_s=PATIENT_S)
    asked = (ledger.areserve(ask(f"{number}", line(amount=1, limit=300))) for number in range(500))
    answers = await asyncio.gather(*asked)

    assert sum(type(answer).__name__ == "Grant" for answer in answers) == 300
    ledger.close()


def test_a_full_server_is_an_outage_that_passes(own_server: RedisServer) -> None:
    """Out of memory: reserve says so; a settlement that frees its hold passes, others wait."""
    ledger = RedisLedger(own_server.url())
    granted(ledger.reserve(ask("a", line(amount=30))))
    client = own_server.client()
    client.config_set("maxmemory", 1)
    with pytest.raises(LedgerUnavailable, match="maxmemory"):
        ledger.reserve(ask("c", line()))
    ledger.settle(charged("a", 7))
    ledger.settle(charged("without a hold", 2))
    assert not ledger.flush(0.2)
    client.config_set("maxmemory", 0)

    assert ledger.flush(10)
    assert figures(ledger) == (9, 0, 0)
    ledger.close()
    client.close()


def test_what_a_user_may_not_book_now_is_booked_later(own_server: RedisServer) -> None:
    """Somebody takes the permission away, and gives it back."""
    client = own_server.client()
    client.acl_setuser("me", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"])
    ledger = RedisLedger(own_server.url().replace("//", "//me:pw@"))
    client.acl_setuser("me", enabled=True, commands=["-evalsha"])
    ledger.settle(charged("a", 7))
    assert not ledger.flush(0.2)
    client.acl_setuser("me", enabled=True, commands=["+evalsha"])

    assert ledger.flush(10)
    assert figures(ledger) == (7, 0, 0)
    ledger.close()
    client.close()


def test_the_backlog_is_bounded(
    own_redis: RedisLedger, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage of hours does not eat the process's memory; what is lost is said."""
    own_server.kill()
    with pytest.raises(LedgerUnavailable):
        own_redis.reserve(ask("a", line()))
    started = time.monotonic()
    for number in range(11_000):
        own_redis.settle(charged(f"{number}", 1))
    assert time.monotonic() - started < 5
    assert "bookings lost" in caplog.text
    own_server.start()

    assert own_redis.flush(20)
    settled, _, _ = figures(own_redis)
    assert 9_900 <= settled <= 10_500


def test_a_booking_that_can_never_be_booked_is_left_out(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next are booked."""
    ledger = RedisLedger(redis_server.url("spoilt"))
    client = redis_server.client()
    client.set("{aden:spoilt}:op:bad", "not an operation")
    with caplog.at_level(logging.ERROR, "aden.ledger"):
        ledger.settle(charged("bad", 7))
        ledger.settle(Settlement("good"))
        ledger.settle(charged("good", 3))
        ledger.settle(charged("better", 2))
        assert ledger.flush(5)

    assert figures(ledger) == (2, 0, 0)
    assert "impossible and left out" in caplog.text
    ledger.close()
    client.close()


def test_a_ledger_that_is_emptied_in_mid_run_is_told_once_and_described_again(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would notice else: its budgets count from zero, and nobody knows what they are."""
    redis = RedisLedger(own_server.url(), deadline_s=PATIENT_S)
    redis.describe({"b": "a budget"})
    granted(redis.reserve(ask("before", line(amount=30))))
    own_server.client().flushall()
    for number in range(2):
        redis._typical_at -= 6
        granted(redis.reserve(ask(f"after {number}", line(amount=1))))
        assert redis.flush(5)
    said = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert len(said) == 1
    assert f"{redis.url} was emptied (FLUSHALL, a restart without appendonly, eviction)" in said[0]
    assert redis.descriptions() == {"b": "a budget"}
    redis.settle(charged("before", 7))
    assert redis.flush(5)
    assert figures(redis) == (7, 0, 2)
    redis.close()


def test_a_server_that_forgets_all_with_its_restart_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As without appendonly."""
    with RedisServer(tmp_path) as server:
        ledger = RedisLedger(server.url(), deadline_s=PATIENT_S)
        granted(ledger.reserve(ask("a", line(amount=30))))
        assert ledger.flush(5)
        server.kill()
        server.start()
        ledger._typical_at -= 6
        granted(ledger.reserve(ask("b", line(amount=30))))
        assert ledger.flush(5)
        ledger.close()
    assert sum("was emptied" in each.message for each in caplog.records) == 1
