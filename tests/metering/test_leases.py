"""Holds of living calls are renewed, and only of living calls."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from aden.core.window import Window
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Ask, Line, Option
from aden.metering.leases import LeaseKeeper
from aden.testing.clock import FixedClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WINDOW = Window()
EVERY_S = 0.01


def hold(ledger: MemoryLedger, *operations: str) -> None:
    """Hold 100, of which 10 are at risk, for each operation."""
    for operation in operations:
        line = Line("all", WINDOW, 10_000, amount=100, at_risk=10)
        ledger.reserve(Ask(operation, (Option((line,)),), lease_ms=60_000))


class Counting(MemoryLedger):
    """Counts how often it is asked to renew."""

    renewals = 0

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        super().renew(progress, lease_ms)
        self.renewals += 1


def rounds(ledger: Counting) -> None:
    """Wait until the keeper has begun and ended a round."""
    enough, deadline = ledger.renewals + 2, time.monotonic() + 10
    while ledger.renewals < enough:
        assert time.monotonic() < deadline
        time.sleep(EVERY_S)


def test_a_kept_hold_outlives_its_lease_and_a_dropped_one_does_not() -> None:
    """The lease is for a process that died; the living renew."""
    clock = FixedClock()
    ledger = Counting(clock)
    keeper = LeaseKeeper(ledger, EVERY_S)
    hold(ledger, "kept", "dropped")
    keeper.keep("kept", lambda: [25])
    keeper.keep("dropped", lambda: [25])
    keeper.drop("dropped")
    for _ in range(4):
        clock.advance(30)
        rounds(ledger)
    (balance,) = ledger.balances([("all", WINDOW)])
    assert (balance.held, balance.unconfirmed) == (100, 10)
    keeper.drop("kept")


def test_the_progress_is_what_is_booked_when_the_process_dies() -> None:
    """Not the whole hold, and not only what was at risk at the start."""
    clock = FixedClock()
    ledger = Counting(clock)
    keeper = LeaseKeeper(ledger, EVERY_S)
    hold(ledger, "call")
    keeper.keep("call", lambda: [42])
    rounds(ledger)
    keeper.drop("call")  # as if the process were gone
    clock.advance(120)
    (balance,) = ledger.balances([("all", WINDOW)])
    assert (balance.held, balance.unconfirmed) == (0, 42)


def test_a_call_that_cannot_tell_its_progress_does_not_cost_the_others_theirs() -> None:
    """One broken call must not let every hold of the process expire."""

    def broken() -> Sequence[int]:
        raise RuntimeError("no idea")

    clock = FixedClock()
    ledger = Counting(clock)
    keeper = LeaseKeeper(ledger, EVERY_S)
    hold(ledger, "broken", "sound")
    keeper.keep("broken", broken)
    keeper.keep("sound", lambda: [25])
    for _ in range(3):
        clock.advance(30)
        rounds(ledger)
    (balance,) = ledger.balances([("all", WINDOW)])
    assert (balance.held, balance.unconfirmed) == (200, 0)
    keeper.drop("broken")
    keeper.drop("sound")


def test_a_renewal_that_fails_is_no_end_of_renewing() -> None:
    """The next round renews what the failed one did not."""

    class Failing(Counting):
        failed = False

        def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
            if not self.failed:
                self.failed = True
                raise RuntimeError("a mistake of ours")
            super().renew(progress, lease_ms)

    ledger = Failing(FixedClock())
    keeper = LeaseKeeper(ledger, EVERY_S)
    hold(ledger, "kept")
    keeper.keep("kept", lambda: [25])
    rounds(ledger)
    assert ledger.failed
    keeper.drop("kept")


def test_a_process_that_may_start_no_thread_renews_from_when_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is let go all the same; the next one tries again, for both."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ledger = Counting(FixedClock())
    keeper = LeaseKeeper(ledger, EVERY_S)
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", start)
        keeper.keep("first", lambda: [25])
    keeper.keep("second", lambda: [25])
    rounds(ledger)
    keeper.drop("first")
    keeper.drop("second")


def test_the_thread_ends_when_nothing_is_held_and_comes_back() -> None:
    """An idle process has no thread of ours."""
    ledger = MemoryLedger()
    keeper = LeaseKeeper(ledger, EVERY_S)
    for operation in ("first", "second"):
        hold(ledger, operation)
        keeper.keep(operation, lambda: [1])
        assert [each for each in threading.enumerate() if each.name == "aden-leases"]
        keeper.drop(operation)
        deadline = time.monotonic() + 5
        while keeper._running and time.monotonic() < deadline:
            time.sleep(EVERY_S)
        assert not keeper._running
