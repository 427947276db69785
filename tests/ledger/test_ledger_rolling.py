"""Budgets over the last N seconds, in each store."""

from ledger_kit import Store, ask, balance, charged, figures, granted, line, refused

from aden.core.window import Window
from aden.testing.clock import FixedClock

HOUR = Window("rolling 1h")
SLICE_S = 120


def spend(store: Store, name: str, amount: int) -> None:
    """Reserve and settle."""
    grant = granted(store.reserve(ask(name, line(amount=amount, window=HOUR))))
    store.settle(charged(name, amount, window_id=grant.holds[0].window_id))


def test_spend_leaves_the_window_an_hour_after_its_reserve(
    ledger: Store, clock: FixedClock
) -> None:
    """Not a moment before, and at most a slice after."""
    clock.set(1_700_000_000)
    spend(ledger, "first", 60)
    clock.advance(1_800)
    spend(ledger, "second", 30)
    clock.advance(1_799)
    assert figures(ledger, window=HOUR) == (90, 0, 0)

    clock.advance(1 + SLICE_S)

    assert figures(ledger, window=HOUR) == (30, 0, 0)
    clock.advance(1_800)
    assert figures(ledger, window=HOUR) == (0, 0, 0)


def test_a_refusal_says_when_the_oldest_spend_leaves(ledger: Store, clock: FixedClock) -> None:
    """After that time the request fits."""
    spend(ledger, "first", 60)
    clock.advance(600)
    spend(ledger, "second", 30)
    refusal = refused(ledger.reserve(ask("third", line(amount=20, window=HOUR))))
    assert refusal.reason == "exhausted"
    assert refusal.retry_after_ms is not None
    assert 3_000_000 - 1_000 <= refusal.retry_after_ms <= 3_000_000 + SLICE_S * 1_000
    assert balance(ledger, window=HOUR).ends_at == clock() + refusal.retry_after_ms / 1_000

    clock.advance(refusal.retry_after_ms / 1_000 - 1)
    refused(ledger.reserve(ask("third", line(amount=20, window=HOUR))))
    clock.advance(1)

    granted(ledger.reserve(ask("third", line(amount=20, window=HOUR))))


def test_a_call_is_settled_in_the_slice_of_its_reserve(ledger: Store, clock: FixedClock) -> None:
    """However long it took."""
    grant = granted(ledger.reserve(ask("long", line(amount=60, window=HOUR), lease_ms=9_000_000)))
    clock.advance(3_500)
    assert figures(ledger, window=HOUR) == (0, 0, 60)
    ledger.settle(charged("long", 70, window_id=grant.holds[0].window_id))
    assert figures(ledger, window=HOUR) == (70, 0, 0)

    clock.advance(100 + SLICE_S)

    assert figures(ledger, window=HOUR) == (0, 0, 0)


def test_setting_the_clock_back_frees_nothing(ledger: Store, clock: FixedClock) -> None:
    """What was spent just now lies ahead, and counts."""
    spend(ledger, "first", 60)
    clock.advance(-1_800)

    assert figures(ledger, window=HOUR) == (60, 0, 0)
    refused(ledger.reserve(ask("second", line(amount=50, window=HOUR))))
