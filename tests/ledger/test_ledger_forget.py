"""Nothing grows for ever: what each store forgets, and what it does not."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_kit import Store, ask, balance, charged, claimed, figures, granted, line, with_journal

from aden.core.money import NanoUSD
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.core.window import Window
from aden.ledger import Confirm, Ledger, Settlement
from aden.ledger.journal import Keep
from aden.ledger.memory import MemoryLedger
from aden.ledger.sqlite import SqliteLedger
from aden.ledger.sqlite_verbs import EXPIRED
from aden.testing.clock import FixedClock

DAY_S = 86_400.0
DAY, HOUR = Window("day"), Window("rolling 1h")
RECORD = CallRecord("r", 0.0, "openai", "gpt-4o", "gpt-4o", Usage(10, 5), NanoUSD(7))


def spend(store: Ledger, name: str, window: Window) -> str:
    """Reserve and settle; the window that it was booked in."""
    grant = granted(store.reserve(ask(name, line(amount=10, window=window))))
    store.settle(Settlement(name, grant.holds))
    return grant.holds[0].window_id


def kept(store: Ledger) -> list[str]:
    """The windows of budget b that are still known."""
    store.settle(Settlement("a call that costs nothing"))
    accounts = [account for account in store.accounts() if account.budget == "b"]
    return [each.window_id for account in accounts for each in account.balances]


def test_a_window_is_forgotten_long_after_its_end(ledger: Store, clock: FixedClock) -> None:
    """66 days after its last use and not before; a total is kept."""
    day = spend(ledger, "a", DAY)
    session = spend(ledger, "s", Window("session"))
    ledger.settle(charged("c", 7))
    clock.advance(40 * DAY_S)
    granted(ledger.reserve(ask("t", line(amount=1, window=Window("session")))))
    ledger.settle(Settlement("t"))
    assert kept(ledger) == [day, session, "total"]
    clock.advance(25 * DAY_S)
    assert kept(ledger) == [day, session, "total"]

    clock.advance(2 * DAY_S)

    assert kept(ledger) == [session, "total"]
    clock.advance(45 * DAY_S)
    assert kept(ledger) == ["total"]
    assert balance(ledger).settled == 7


def test_a_slice_is_forgotten_when_it_counts_no_more(ledger: Store, clock: FixedClock) -> None:
    """A clock that is set back by the window's length may still want it."""
    clock.set(1_790_000_040)  # where a slice begins
    spend(ledger, "a", HOUR)
    for off, left in ((7_320, 10), (7_321, 0)):
        clock.set(1_790_000_040 + off)
        ledger.settle(Settlement(f"{off}"))
        clock.set(1_790_000_040 + 3_600)
        assert figures(ledger, window=HOUR) == (left, 0, 0)


def test_an_open_hold_keeps_its_window(ledger: Store, clock: FixedClock) -> None:
    """However long its call takes."""
    quarter_ms = int(90 * DAY_S * 1000)
    grant = granted(
        ledger.reserve(ask("a", line(window=HOUR), line("c", window=DAY), lease_ms=quarter_ms))
    )
    for _ in range(3):
        clock.advance(29 * DAY_S)
        ledger.settle(Settlement("nothing"))
    assert [held.operation for held in ledger.holds()] == ["a"]

    ledger.settle(Settlement("a", grant.holds))

    (account,) = ledger.accounts()
    (day,) = account.balances
    assert (account.budget, day.settled, day.held) == ("c", 10, 0)
    clock.advance(70 * DAY_S)
    assert kept(ledger) == []


def test_the_unconfirmed_can_be_confirmed_for_a_month(ledger: Store, clock: FixedClock) -> None:
    """Also in a slice that counts no more."""
    for name in ("a", "c"):
        granted(ledger.reserve(ask(name, line(amount=10, window=HOUR))))
    clock.advance(61)
    assert figures(ledger, window=HOUR) == (0, 20, 0)
    clock.advance(34 * DAY_S)
    ledger.settle(Settlement("nothing"))
    assert ledger.order(Confirm("a", {"b": 7}, who="ann", why="a test"))
    clock.advance(-34 * DAY_S)
    assert figures(ledger, window=HOUR) == (7, 10, 0)
    clock.advance(36 * DAY_S)

    assert not ledger.order(Confirm("c", who="ann", why="a test"))
    assert ledger.holds() == ()


def test_an_alert_is_forgotten_with_its_window(ledger: Store, clock: FixedClock) -> None:
    """One of a total is not."""
    for window_id in ("day:2026-09-21", "total"):
        claim = claimed(ledger, "b", window_id, 80_000)
        assert claim is not None
        ledger.acknowledge_alert(claim)
    clock.advance(68 * DAY_S)
    ledger.settle(Settlement("nothing"))

    assert claimed(ledger, "b", "day:2026-09-21", 80_000) is not None
    assert claimed(ledger, "b", "total", 80_000) is None


@pytest.mark.parametrize(("calls", "days", "left"), [(4, 400, 4), (100, 3, 3), (0, 400, 0)])
def test_the_journal_is_bounded_by_number_and_age(
    ledger: Store, clock: FixedClock, calls: int, days: int, left: int
) -> None:
    """The oldest go first."""
    short = with_journal(ledger, clock, Keep(calls, days * DAY_S))
    for number in range(10):
        clock.advance(DAY_S)
        short.settle(Settlement(f"{number}", record=replace(RECORD, id=f"{number}")))
    clock.advance(0.5)
    short.settle(Settlement("last", record=replace(RECORD, id="last")))

    ids = [record.id for record in short.journal()]
    assert ids == [*map(str, range(10)), "last"][11 - left - (1 if days == 3 else 0) :][: left + 1]
    short.close()


def test_a_journal_that_was_longer_is_cut_piece_by_piece(ledger: Store, clock: FixedClock) -> None:
    """One call does not delete everything."""
    long = with_journal(ledger, clock, Keep(1_000, DAY_S))
    for number in range(300):
        long.settle(Settlement(f"{number}", record=RECORD))
    assert long.flush(5)
    assert len(list(long.journal())) == 300
    clock.advance(2 * DAY_S)

    lengths = []
    for number in range(300, 308):
        long.settle(Settlement(f"{number}", record=RECORD))
        lengths.append(len(list(long.journal())))

    assert lengths[-1] == 8
    assert lengths[0] >= 250 or isinstance(long, MemoryLedger)
    long.close()


def test_the_journal_is_read_from_a_moment_on(ledger: Store, clock: FixedClock) -> None:
    """Over several pages; nothing twice, nothing left out."""
    for number in range(1_203):
        ledger.settle(Settlement(f"{number}", record=replace(RECORD, id=f"{number}")))
        assert ledger.flush(5)  # a slow machine puts it off, and a line has the time of its booking
        clock.advance(1)
    start = clock() - 1_203

    assert [record.id for record in ledger.journal()] == [str(n) for n in range(1_203)]
    assert [record.id for record in ledger.journal(start + 600)] == [
        str(n) for n in range(600, 1_203)
    ]
    assert list(ledger.journal(clock() + 1)) == []


def test_the_holds_of_a_fleet_that_was_killed_are_booked_a_few_at_a_time(
    sqlite: SqliteLedger, path: Path, clock: FixedClock
) -> None:
    """Ten thousand at once would stall whoever comes first, and all who wait for the file."""
    count = 3 * EXPIRED + 1
    for place in range(count):
        granted(sqlite.reserve(ask(f"dead {place}", line(amount=2, at_risk=1, limit=10_000))))
        sqlite.mark_sent(f"dead {place}", sent=place % 3 > 0)
    clock.advance(61)
    left = []
    for place in range(4):
        granted(sqlite.reserve(ask(f"next {place}", line("other"))))
        left.append(_open_in(path) - place - 1)

    assert left == [2 * EXPIRED + 1, EXPIRED + 1, 1, 0]
    assert figures(sqlite) == (0, sum(place % 3 > 0 for place in range(count)), 0)
    assert len(sqlite.holds()) == 4 + figures(sqlite)[1]


def _open_in(path: Path) -> int:
    with sqlite3.connect(path) as file:
        (count,) = file.execute("SELECT count(*) FROM operation WHERE state = 'open'").fetchone()
    file.close()
    return int(count)
