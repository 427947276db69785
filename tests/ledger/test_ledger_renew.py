"""Renewals that come after the lease has ended: the process lives; on every store."""

from ledger_kit import Store, ask, charged, figures, granted, line, refused

from aden.ledger import Confirm, Reset
from aden.testing.clock import FixedClock


def test_a_late_renewal_holds_again_what_the_lease_gave_up(
    ledger: Store, clock: FixedClock
) -> None:
    """A host that slept, a clock that was set ahead, a server that was away: the call goes on."""
    ledger.reserve(ask("a", line("b", 10, at_risk=4), line("c", 20, at_risk=0)))
    clock.advance(61)
    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 4, 0), (0, 0, 0))

    ledger.renew({"a": [6, 7], "nobody": [1]})
    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 0, 10), (0, 0, 20))
    assert [(each.operation, each.state) for each in ledger.holds()] == [("a", "open")]
    assert ledger.open_holds() == 1

    ledger.extend("a", [50, 20])
    assert figures(ledger, "b") == (0, 0, 50)
    clock.advance(61)
    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 6, 0), (0, 7, 0))
    ledger.renew({"a": [8, 8]})
    ledger.settle(charged("a", 9))
    assert (figures(ledger, "b"), figures(ledger, "c")) == ((9, 0, 0), (0, 0, 0))


def test_what_is_held_again_may_exceed_a_limit_that_others_have_used_meanwhile(
    ledger: Store, clock: FixedClock
) -> None:
    """As a stream that grows: what is spent is true, and admission stops."""
    ledger.reserve(ask("a", line(amount=60, at_risk=10)))
    clock.advance(61)
    granted(ledger.reserve(ask("b", line(amount=90))))
    ledger.renew({"a": [10]})
    assert figures(ledger) == (0, 0, 150)
    assert refused(ledger.reserve(ask("c", line(amount=1)))).reason == "busy"


def test_what_has_had_its_last_word_is_not_held_again(ledger: Store, clock: FixedClock) -> None:
    """Settled by its process, or by an operator."""
    for name in ("settled", "confirmed"):
        ledger.reserve(ask(name, line(amount=10, at_risk=4)))
    clock.advance(61)
    assert figures(ledger) == (0, 8, 0)
    ledger.settle(charged("settled", 9))
    assert ledger.order(Confirm("confirmed", {}, who="ann", why="a test"))
    ledger.renew({"settled": [1], "confirmed": [1]})
    assert figures(ledger) == (13, 0, 0)


def test_a_reset_between_takes_back_nothing_twice(ledger: Store, clock: FixedClock) -> None:
    """What it emptied stays empty; the open call counts like any other from then on."""
    ledger.reserve(ask("a", line(amount=10, at_risk=4)))
    clock.advance(61)
    assert figures(ledger) == (0, 4, 0)
    ledger.order(Reset("b", "total", who="ann", why="a test"))
    ledger.renew({"a": [5]})
    assert figures(ledger) == (0, 0, 10)
    ledger.settle(charged("a", 5))
    assert figures(ledger) == (5, 0, 0)
