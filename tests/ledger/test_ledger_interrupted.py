"""A ledger whose caller is interrupted in the middle of it: Ctrl-C, an alarm, SystemExit."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from ledger_kit import ask, charged, figures, granted, line, lock, unlock

from aden.ledger import Ask, Charge, Settlement
from aden.ledger.memory import MemoryLedger
from aden.ledger.redis import RedisLedger
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock
from strikes import AlarmError, struck

Act = Callable[[SqliteLedger, int], object]


def _areserve(ledger: SqliteLedger, place: int) -> None:
    asking = ledger.areserve(ask(f"a{place}", line(f"b{place}")))
    try:
        with pytest.raises(StopIteration):
            asking.send(None)
    finally:
        asking.close()


class OutOfTimeError(AlarmError, TimeoutError):
    """What the handler of an alarm raises most often."""


def out_of_time(_signum: int, _frame: FrameType | None) -> None:
    """Such a handler."""
    raise OutOfTimeError


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, out_of_time)
    yield
    signal.signal(signal.SIGUSR1, before)


def _once(act: Callable[[int], object]) -> Callable[[int], object]:
    """*act*, which must not be called again once it came to its end."""
    ended = False

    def checked(place: int) -> None:
        nonlocal ended
        assert not ended, f"what rang at place {place - 1} was swallowed"
        act(place)
        ended = True

    return checked


VERBS: dict[str, Act] = {
    "reserve": lambda ledger, at: ledger.reserve(ask(f"a{at}", line(f"b{at}"))),
    "areserve": _areserve,
    "settle": lambda ledger, at: ledger.settle(charged(f"a{at}", 7, f"b{at}")),
    "renew": lambda ledger, at: ledger.renew({"open": (1,)}),
    "extend": lambda ledger, at: ledger.extend("open", (20 + at,)),
    "close": lambda ledger, at: ledger.close(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_who_is_interrupted_in_a_sqlite_ledger_stops_nobody(
    sqlite: SqliteLedger, verb: str
) -> None:
    """Wherever it was: the next request has its turn at once."""
    granted(sqlite.reserve(ask("open", line())))
    places = 0
    for place in struck(lambda place: VERBS[verb](sqlite, place)):
        granted(sqlite.reserve(ask("next", line("other"))))
        places = place
    assert places > 20
    assert sqlite.flush(5)
    for place in range(1, places + 1):
        sqlite.settle(charged(f"a{place}", 7, f"b{place}"))
        assert figures(sqlite, f"b{place}") == (7, 0, 0)


@pytest.mark.parametrize("verb", VERBS)
def test_an_alarm_in_a_sqlite_ledger_reaches_its_caller(sqlite: SqliteLedger, verb: str) -> None:
    """Its `TimeoutError` is an `OSError`, as that of a file which is not there."""
    granted(sqlite.reserve(ask("open", line())))
    for place in struck(_once(lambda place: VERBS[verb](sqlite, place)), handler=out_of_time):
        assert place < 1000


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("areserve", "close")])
def test_an_alarm_in_a_redis_ledger_reaches_its_caller(redis: RedisLedger, verb: str) -> None:
    """It is no mistake of ours, which would be logged."""
    act: Callable[[int], object] = {
        "reserve": lambda place: redis.reserve(ask(f"a{place}", line(f"b{place}"))),
        "settle": lambda place: redis.settle(charged(f"a{place}", 7, f"b{place}")),
        "renew": lambda _: redis.renew({"open": (1,)}),
        "extend": lambda place: redis.extend("open", (20 + place,)),
    }[verb]
    for place in struck(_once(act), handler=out_of_time, ours=True):
        assert place < 1000
    assert redis.flush(5)
    assert len(redis.holds()) == (verb == "reserve")


def test_who_asks_redis_from_a_loop_is_told_of_an_alarm_or_gets_what_is_held(
    redis: RedisLedger,
) -> None:
    """Also where it rings while the loop reads the answer: nothing is held for nobody."""
    kept, told = set[str](), []

    async def asked(place: int) -> None:
        answer = await redis.areserve(ask(f"a{place}", line(f"b{place}")))
        kept.add(granted(answer).operation)

    def act(place: int) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        try:
            loop.run_until_complete(asked(place))
        finally:
            loop.close()

    places = 0
    redis.open_holds()
    for place in struck(act, handler=out_of_time, ours=True):
        places = place
        assert len(kept) <= len(told)
        redis.open_holds()  # it is connected again

    assert places > 100
    assert redis.flush(5)
    assert {held.operation for held in redis.holds()} == kept


def test_what_was_put_off_is_booked_without_anybody_asking_wherever_its_caller_was_interrupted(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The thread that insists is started, and by the next one if not by this one."""
    holds_it = lock(path)
    last = 0
    for place in struck(lambda place: sqlite.settle(charged(f"a{place}", 1))):
        last = place
    unlock(holds_it)
    deadline = time.monotonic() + 5
    while f"a{last}" not in _known(path) or sqlite._store._insisting.locked():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _due(ledger: MemoryLedger, clock: FixedClock) -> None:
    ledger.reserve(_both(1))
    clock.advance(100)


def _lapsed(ledger: MemoryLedger, clock: FixedClock) -> None:
    _due(ledger, clock)
    ledger.accounts()


def _both(amount: int) -> Ask:
    return ask("a", line("b", amount), line("c", amount))


SETTLED = Settlement("a", (Charge("b", "total", 7), Charge("c", "total", 7)))


Books = Callable[[MemoryLedger, FixedClock], object]
Figures = tuple[int, int, int]
OPEN: Books = lambda ledger, _: ledger.reserve(_both(1))  # noqa: E731
STEPS: dict[str, tuple[Books, Books, set[Figures]]] = {
    "reserve": (lambda *_: None, OPEN, {(0, 0, 0), (0, 0, 1)}),
    "reserve again": (
        OPEN,
        lambda ledger, _: ledger.reserve(_both(2)),
        {(0, 0, 1), (0, 0, 0), (0, 0, 2)},
    ),
    "settle": (OPEN, lambda ledger, _: ledger.settle(SETTLED), {(7, 0, 0), (0, 0, 1)}),
    "extend": (OPEN, lambda ledger, _: ledger.extend("a", (3, 3)), {(0, 0, 1), (0, 0, 3)}),
    "renew": (_lapsed, lambda ledger, _: ledger.renew({"a": (1, 1)}), {(0, 1, 0), (0, 0, 1)}),
    "expire": (_due, lambda ledger, _: ledger.accounts(), {(0, 1, 0)}),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_memory_ledger_is_done_or_not_done_wherever_it_is_interrupted(
    step: str,
) -> None:
    """Nothing is held for nobody, no settlement is lost, and the next request has its turn."""
    prepare, act, allowed = STEPS[step]
    clock, ledger = FixedClock(), MemoryLedger()

    def begin() -> None:
        nonlocal clock, ledger
        clock = FixedClock()
        ledger = MemoryLedger(clock)
        prepare(ledger, clock)

    begin()
    places = 0
    for place in struck(lambda _: act(ledger, clock)):
        places = place
        assert figures(ledger, "b") in allowed
        assert figures(ledger, "c") == figures(ledger, "b")
        if step == "settle" and place > 8:  # it was told, before it was interrupted
            assert figures(ledger) == (7, 0, 0)
        ledger.settle(SETTLED)
        assert figures(ledger, "b") == figures(ledger, "c") == (7, 0, 0)
        clock.advance(3600)
        assert figures(ledger, "b") == figures(ledger, "c") == (7, 0, 0)
        begin()
    assert places > 10


def _known(path: Path) -> set[str]:
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT id FROM operation").fetchall()
    file.close()
    return {operation for (operation,) in rows}
