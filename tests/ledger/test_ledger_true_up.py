"""What others have spent, as a server tells it: raised to that, never lowered, in every store."""

from ledger_kit import ask, balance, charged, figures, line, refused

from aden.core.window import Window
from aden.ledger import Charge, Ledger, Reset
from aden.testing.clock import FixedClock

MONTH = Window("month")


def test_what_is_spent_is_raised_to_the_figure_that_is_told(ledger: Ledger) -> None:
    """The larger of the two counts: 40 here and 70 there are 70."""
    ledger.settle(charged("a", 40))
    ledger.true_up([Charge("b", "total", 70)])
    assert figures(ledger) == (70, 0, 0)


def test_what_is_spent_here_counts_on_top_of_what_was_told(ledger: Ledger) -> None:
    """The figure of a moment ago cannot know what has been spent since."""
    ledger.true_up([Charge("b", "total", 70)])
    ledger.settle(charged("a", 20))
    assert figures(ledger) == (90, 0, 0)
    assert refused(ledger.reserve(ask("x", line(amount=11)))).reason == "exhausted"


def test_the_same_or_a_lower_figure_changes_nothing(ledger: Ledger) -> None:
    """Every process of a host is told the same."""
    for spent in (70, 70, 30, 0):
        ledger.true_up([Charge("b", "total", spent), Charge("b", "total", spent)])
    assert figures(ledger) == (70, 0, 0)


def test_unconfirmed_spend_is_part_of_what_is_spent(ledger: Ledger, clock: FixedClock) -> None:
    """A dead process's hold is booked before the figures are compared."""
    ledger.reserve(ask("dead", line(amount=30)))
    clock.advance(61)
    ledger.true_up([Charge("b", "total", 50)])
    assert figures(ledger) == (20, 30, 0)


def test_open_holds_are_not_spent_yet(ledger: Ledger) -> None:
    """They stand beside what was told."""
    ledger.reserve(ask("open", line(amount=30)))
    ledger.true_up([Charge("b", "total", 50)])
    assert figures(ledger) == (50, 0, 30)


def test_a_window_is_raised_by_its_id_whatever_the_clock_says(
    ledger: Ledger, clock: FixedClock
) -> None:
    """A figure for a month that is over does not touch the one that runs."""
    before = MONTH.at(clock()).id
    clock.advance(40 * 86_400)
    ledger.true_up([Charge("b", before, 50)])
    assert balance(ledger, window=MONTH).spent == 0


def test_an_explicit_reset_takes_it_back(ledger: Ledger) -> None:
    """As it does with everything that was spent."""
    ledger.true_up([Charge("b", "total", 70)])
    assert ledger.order(Reset("b", "total", who="ann", why="a test"))
    assert figures(ledger) == (0, 0, 0)


def test_thousands_of_budgets_are_told_at_once(ledger: Ledger) -> None:
    """They are booked in parts."""
    ledger.true_up([Charge(f"b{number}", "total", number) for number in range(1_201)])
    assert figures(ledger, "b1200") == (1_200, 0, 0)
    assert figures(ledger, "b1") == (1, 0, 0)
