"""What becomes of a hold; each test runs on every store."""

import math
import threading
import time
from dataclasses import replace

import pytest
from ledger_kit import (
    EventfulClock,
    Store,
    another,
    ask,
    charged,
    claimed,
    figures,
    granted,
    line,
    refused,
    typical,
)

from aden.core.attribution import Attribution
from aden.core.decision import Decision
from aden.core.money import NanoUSD
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.ledger import Charge, Refusal, Settlement
from aden.ledger.memory import MemoryLedger
from aden.testing.clock import FixedClock

RECORD = CallRecord(
    id="call",
    at=1_790_000_000.25,
    provider="openai",
    asked_model="gpt-4o",
    model="gpt-4o-mini",
    usage=Usage(input_tokens=10, output_tokens=20, cached_tokens=0, estimated=True),
    cost=NanoUSD(12_345),
    decision=Decision(
        action="degrade",
        reason="busy",
        source="ledger",
        message="čau",
        budget_id="b",
        model="gpt-4o-mini",
        retry_after_ms=250,
    ),
    attribution=Attribution(agent="a", customer_id="\ud800", tags=("x", "y")),
    stream=True,
    stream_end="abandoned",
    ttft_ms=1.5,
    latency_ms=math.inf,
    finish_reasons=("stop", "length"),
)


@pytest.mark.parametrize("actual", [0, 7, 10, 250])
def test_settle_replaces_the_hold_by_the_charge(ledger: Store, actual: int) -> None:
    """Less, as much or more than was held: what was spent is what stands."""
    ledger.reserve(ask("a", line(amount=10)))

    ledger.settle(charged("a", actual))

    assert figures(ledger) == (actual, 0, 0)


def test_settle_without_charges_releases(ledger: Store) -> None:
    """A request that never left costs nothing."""
    ledger.reserve(ask("a", line(amount=100)))

    ledger.settle(Settlement("a"))

    assert figures(ledger) == (0, 0, 0)


def test_a_second_settle_changes_nothing(ledger: Store) -> None:
    """Settling is an upsert by operation id; the first word stays."""
    ledger.reserve(ask("a", line(amount=10)))
    for amount in (7, 7, 99):
        ledger.settle(replace(charged("a", amount), record=RECORD, output=("m", 5)))

    assert figures(ledger) == (7, 0, 0)
    assert len(list(ledger.journal())) == 1


def test_a_settle_is_remembered_for_a_day(ledger: Store, clock: FixedClock) -> None:
    """A repeat within 24 hours changes nothing, whatever happened in between."""
    ledger.settle(charged("a", 7))
    clock.advance(86_400)
    figures(ledger)
    ledger.settle(charged("a", 7))
    assert figures(ledger) == (7, 0, 0)

    clock.advance(1)
    figures(ledger)
    ledger.settle(charged("a", 7))
    assert figures(ledger) == (14, 0, 0)


def test_an_unknown_operation_is_charged_all_the_same(ledger: Store) -> None:
    """Spend that was kept elsewhere in an outage is booked without a hold."""
    ledger.settle(charged("a", 7))

    assert figures(ledger) == (7, 0, 0)


def test_settle_may_charge_another_budget_than_was_held(ledger: Store) -> None:
    """The hold goes wherever it was; the charges stand where they say."""
    ledger.reserve(ask("a", line("b", 10), line("c", 10)))

    ledger.settle(charged("a", 4, "d"))

    assert [figures(ledger, key) for key in "bcd"] == [(0, 0, 0), (0, 0, 0), (4, 0, 0)]


def test_a_lease_that_runs_out_is_booked_as_unconfirmed(ledger: Store, clock: FixedClock) -> None:
    """What a dead process had at risk counts as spent, in a column of its own."""
    ledger.reserve(ask("a", line(amount=10, at_risk=4), lease_ms=1_000))

    clock.advance(1)
    assert figures(ledger) == (0, 0, 10)
    clock.advance(0.001)
    assert figures(ledger) == (0, 4, 0)


def test_a_reserve_books_what_ran_out_before_it_decides(ledger: Store, clock: FixedClock) -> None:
    """A dead process's hold stands in nobody's way once its lease is over."""
    ledger.reserve(ask("a", line(amount=100, at_risk=30)))
    clock.advance(61)

    grant = granted(ledger.reserve(ask("c", line(amount=70))))

    assert grant.balances[0].unconfirmed == 30
    assert refused(ledger.reserve(ask("d", line(amount=71)))).reason == "exhausted"


def test_renewing_keeps_a_hold_and_notes_its_progress(ledger: Store, clock: FixedClock) -> None:
    """A living process's hold stays; what is booked when it dies is its last progress."""
    ledger.reserve(ask("a", line("b", 10), line("c", 10), lease_ms=1_000))
    clock.advance(0.9)
    ledger.renew({"a": [3, 5], "nobody": [1]}, lease_ms=2_000)

    clock.advance(1.9)
    assert figures(ledger) == (0, 0, 10)
    clock.advance(0.2)
    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 3, 0), (0, 5, 0))


def test_a_renewal_of_the_wrong_shape_still_keeps_the_hold(
    ledger: Store, clock: FixedClock
) -> None:
    """The lease matters more than a figure; the next operation is renewed too."""
    ledger.reserve(ask("a", line("b", 10), line("c", 10), lease_ms=1_000))
    ledger.reserve(ask("d", line("d", 10), lease_ms=1_000))

    ledger.renew({"a": [1], "d": [2]}, lease_ms=5_000)

    clock.advance(4)
    assert [figures(ledger, key) for key in "bcd"] == [(0, 0, 10)] * 3
    clock.advance(2)
    assert [figures(ledger, key) for key in "bcd"] == [(0, 10, 0), (0, 10, 0), (0, 2, 0)]


def test_a_late_settle_corrects_what_was_booked(ledger: Store, clock: FixedClock) -> None:
    """The process was only slow: the true charge takes the place of the unconfirmed one."""
    ledger.reserve(ask("a", line(amount=10, at_risk=4)))
    clock.advance(61)
    ledger.extend("a", [50])
    assert figures(ledger) == (0, 4, 0)

    ledger.settle(charged("a", 9))

    assert figures(ledger) == (9, 0, 0)


def test_an_unsent_hold_is_released_when_its_lease_runs_out(
    ledger: Store, clock: FixedClock
) -> None:
    """A throttled request that never left costs nothing; one that left after all does."""
    for name in ("throttled", "left"):
        ledger.reserve(ask(name, line(name, 10)))
        ledger.mark_sent(name, sent=False)
    ledger.mark_sent("left", sent=True)
    ledger.mark_sent("nobody", sent=True)

    clock.advance(61)

    assert (figures(ledger, "throttled"), figures(ledger, "left")) == ((0, 0, 0), (0, 10, 0))


def test_a_clock_that_goes_backward_loses_nothing(ledger: Store, clock: FixedClock) -> None:
    """Holds stay, leases only last longer."""
    ledger.reserve(ask("a", line(amount=10)))
    clock.advance(-3_600)
    assert figures(ledger) == (0, 0, 10)
    ledger.renew({"a": [2]})
    clock.advance(61)
    assert figures(ledger) == (0, 2, 0)


def test_an_alert_is_claimed_once_a_window(ledger: Store) -> None:
    """One claim wins; another window, threshold or budget is another alert."""
    assert claimed(ledger, "b", "day:1", 80)
    assert not claimed(ledger, "b", "day:1", 80)
    assert claimed(ledger, "b", "day:2", 80)
    assert claimed(ledger, "b", "day:1", 95)
    assert claimed(ledger, "c", "day:1", 80)


def test_typical_output_is_a_high_percentile_of_what_was_seen(ledger: Store) -> None:
    """Nothing is said before eight outputs; then the bucket that covers 95 % of them."""
    for number in range(7):
        ledger.settle(Settlement(f"m{number}", output=("m", 100)))
    assert typical(ledger, "m") is None

    for number in range(7, 100):
        ledger.settle(Settlement(f"m{number}", output=("m", 100 if number % 30 else 5_000)))

    assert typical(ledger, "m") == 104
    assert typical(ledger, "other") is None


def test_old_outputs_fade(ledger: Store) -> None:
    """After a thousand short answers a few long ones are believed."""
    for number in range(1000):
        ledger.settle(Settlement(f"short{number}", output=("m", 90 + number % 20)))
    short = typical(ledger, "m")
    assert short is not None
    assert short <= 112
    for number in range(10):
        ledger.settle(Settlement(f"long{number}", output=("m", 1_000)))
    assert typical(ledger, "m") == 1_024


def test_the_journal_returns_the_records_that_it_was_given(ledger: Store) -> None:
    """Every field, odd ones included, oldest first."""
    records = [replace(RECORD, id=f"call-{number}", at=-number) for number in range(3)]
    for record in records:
        ledger.settle(Settlement(record.id, record=record))

    assert list(ledger.journal()) == records


def test_the_journal_is_bounded(ledger: Store, clock: FixedClock) -> None:
    """The oldest calls make room."""
    short = another(ledger, clock, journal_calls=3)
    for number in range(5):
        short.settle(Settlement(f"{number}", record=replace(RECORD, id=f"{number}")))

    assert [record.id for record in short.journal()] == ["2", "3", "4"]
    short.close()


def test_a_record_that_cannot_be_written_costs_no_money(
    ledger: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The charge is booked; a journal of text lacks the line, and the log says so."""
    ledger.reserve(ask("a", line(amount=10)))
    broken = replace(RECORD, response_model=object())  # type: ignore[arg-type]  # on purpose

    ledger.settle(replace(charged("a", 7), record=broken))
    ledger.settle(Settlement("c", record=replace(RECORD, at=math.nan, id="c")))

    assert figures(ledger) == (7, 0, 0)
    if not isinstance(ledger, MemoryLedger):
        assert [record.id for record in ledger.journal()] == ["c"]
        assert "cannot be written to the journal" in caplog.text


def test_settle_never_raises_and_spoils_nothing_for_the_next(
    ledger: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A settlement that makes no sense is logged; the one after it is booked."""
    ledger.settle(Settlement("a", (Charge("b", "total", "much"),), output=("m", None)))  # type: ignore[arg-type]  # on purpose
    ledger.settle(charged("c", 7, "c"))

    assert figures(ledger, "c") == (7, 0, 0)
    assert caplog.records


def test_threads_share_one_limit(ledger: Store) -> None:
    """Eight threads that reserve and settle overspend nothing and leave nothing held."""
    spent: list[int] = []

    def work(thread: int) -> None:
        for number in range(60):
            name = f"{thread}-{number}"
            answer = ledger.reserve(ask(name, line(amount=3, limit=200)))
            if isinstance(answer, Refusal):
                continue
            ledger.extend(name, [4])
            ledger.settle(charged(name, 1))
            spent.append(1)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.flush(5)
    assert figures(ledger) == (sum(spent), 0, 0)
    assert 198 <= sum(spent) <= 200


class _Abandoned:
    """A stream that nobody closed: its destructor settles."""

    def __init__(self, ledger: Store, name: str) -> None:
        self.ledger = ledger
        self.name = name

    def __del__(self) -> None:
        self.ledger.settle(charged(self.name, 7))


@pytest.mark.parametrize("verb", ["reserve", "settle", "balances"])
def test_a_destructor_may_settle_in_the_middle_of_its_own_threads_turn(
    ledger: Store, clock: EventfulClock, verb: str
) -> None:
    """Garbage is collected anywhere, also inside the ledger: nothing deadlocks or is lost."""
    ledger.reserve(ask("lost", line(amount=10)))
    lost = [_Abandoned(ledger, "lost")]

    clock.meanwhile = lost.clear
    started = time.monotonic()
    if verb == "reserve":
        ledger.reserve(ask("a", line("other")))
    elif verb == "settle":
        ledger.settle(charged("a", 1, "other"))
    else:
        ledger.balances([])
    assert time.monotonic() - started < 2

    assert ledger.flush(5)
    assert figures(ledger) == (7, 0, 0)
    assert not lost
