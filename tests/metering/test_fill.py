"""How full budgets are, read for a gauge: bounded, and quiet where the ledger is not there."""

from collections.abc import Sequence

from aden.budgets.budget import Budget, Match
from aden.core.window import Window
from aden.errors import LedgerUnavailable
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Balance, Charge, Settlement
from aden.metering.fill import KEYS_MAX, Fill, Filled


class Book(MemoryLedger):
    """Notes what it is asked, and can be away."""

    away = False
    asked: Sequence[tuple[str, Window]] = ()

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """As the memory ledger, unless it is away."""
        if self.away:
            raise LedgerUnavailable("it is away")
        self.asked = budgets
        return super().balances(budgets)


def matches(budget: Budget, *labels: str) -> list[Match]:
    """What calls of these labels count against."""
    return [
        Match(budget, f"{budget.id}|{label}" if label else budget.id, None, ()) for label in labels
    ]


def charged(book: Book, key: str, amount: int, number: int) -> None:
    """Book an amount."""
    window = Window("total").at(0.0).id
    book.settle(Settlement(f"call-{number}", (Charge(key, window, amount),)))


def test_the_fullest_label_speaks_for_a_template() -> None:
    """One series a budget, however many labels it has."""
    book, each, none = Book(), Budget("each", "0.001"), Budget("none", 0)
    fill = Fill(book)
    fill.saw([*matches(each, "a", "b"), *matches(none, "")])
    charged(book, "each|a", 250_000, 1)
    charged(book, "each|b", 750_000, 2)
    assert fill.read() == {"each": Filled(0.75, 0.0), "none": Filled(1.0, 0.0)}


def test_only_the_latest_keys_are_read() -> None:
    """A label may come from outside, so there may be any number."""
    book, each = Book(), Budget("each", 1)
    fill = Fill(book)
    fill.saw(matches(each, *(str(number) for number in range(KEYS_MAX + 500))))
    fill.saw(matches(each, "499", "500"))
    fill.read()
    asked = {key for key, _ in book.asked}
    assert len(asked) == KEYS_MAX
    assert {"each|499", "each|500"} <= asked
    assert "each|501" not in asked


def test_a_ledger_that_is_away_shows_nothing() -> None:
    """Who asks it for a reservation says so."""
    book = Book()
    fill = Fill(book)
    fill.saw(matches(Budget("each", 1), ""))
    book.away = True
    assert fill.read() == {}
    book.away = False
    assert fill.read() == {"each": Filled(0.0, 0.0)}
