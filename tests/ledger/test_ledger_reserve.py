"""What a ledger grants and refuses; each test runs on every store."""

import pytest
from ledger_kit import (
    TOTAL,
    Store,
    ask,
    balance,
    charged,
    figures,
    granted,
    line,
    options,
    refused,
)

from aden.core.window import Window
from aden.ledger import Balance, Charge, Settlement
from aden.testing.clock import FixedClock


def test_a_grant_holds_its_amount(ledger: Store) -> None:
    """What is granted stands as held, and the grant says where."""
    grant = granted(ledger.reserve(ask("a", line(amount=40))))

    assert grant.option == 0
    assert grant.holds == (Charge("b", "total", 40),)
    assert figures(ledger) == (0, 0, 40)


def test_balances_of_an_answer_leave_out_the_asking_operation(ledger: Store) -> None:
    """A grant and a refusal both show the balance as it was without this request."""
    ledger.reserve(ask("a", line(amount=40)))

    again = granted(ledger.reserve(ask("a", line(amount=50))))
    other = refused(ledger.reserve(ask("c", line(amount=60))))

    assert again.balances == (Balance("b", "total", None),)
    assert other.balances == (Balance("b", "total", None, held=50),)


def test_a_limit_can_be_used_to_the_last_unit(ledger: Store) -> None:
    """Spent + held + amount may be the limit, and nothing more."""
    granted(ledger.reserve(ask("a", line(amount=60))))
    refused(ledger.reserve(ask("c", line(amount=41))))
    granted(ledger.reserve(ask("d", line(amount=40))))


def test_several_budgets_are_held_together_or_not_at_all(ledger: Store) -> None:
    """One line that does not fit keeps the others from being held."""
    ledger.settle(charged("before", 95, "full"))

    refusal = refused(ledger.reserve(ask("a", line("free", 10), line("full", 10), line("c", 10))))

    assert refusal.budget == "full"
    assert [figures(ledger, key) for key in ("free", "full", "c")] == [
        (0, 0, 0),
        (95, 0, 0),
        (0, 0, 0),
    ]


def test_the_first_option_that_fits_is_granted(ledger: Store) -> None:
    """As asked, else cheaper: in the order of the options."""
    grant = granted(ledger.reserve(options("a", [line(amount=200)], [line(amount=90)], [line()])))

    assert grant.option == 1
    assert figures(ledger) == (0, 0, 90)


def test_a_step_closes_once_spent_reaches_it(ledger: Store) -> None:
    """`below` looks at what is spent, not at what is held."""
    step = [line(amount=5, below=50)], [line(amount=1)]
    ledger.reserve(ask("open", line(amount=60)))
    assert granted(ledger.reserve(options("a", *step))).option == 0
    ledger.settle(charged("open", 49))
    assert granted(ledger.reserve(options("c", *step))).option == 0
    ledger.settle(charged("d", 1))
    assert granted(ledger.reserve(options("e", *step))).option == 1


def test_open_holds_in_the_way_make_a_budget_busy(ledger: Store) -> None:
    """What would fit once the holds are refunded is busy, and soon worth another try."""
    ledger.reserve(ask("a", line(amount=100)))

    refusal = refused(ledger.reserve(ask("c", line(amount=1))))

    assert (refusal.reason, refusal.budget, refusal.retry_after_ms) == ("busy", "b", 250)


def test_spend_in_the_way_makes_a_budget_exhausted(ledger: Store) -> None:
    """What would not fit even without any hold is exhausted; a total budget stays so."""
    ledger.settle(charged("before", 95))
    ledger.reserve(ask("a", line(amount=5)))

    refusal = refused(ledger.reserve(ask("c", line(amount=6))))

    assert (refusal.reason, refusal.budget, refusal.retry_after_ms) == ("exhausted", "b", None)


def test_one_option_that_only_waits_makes_the_refusal_busy(ledger: Store) -> None:
    """Exhausted is said only where no option would fit with all holds refunded."""
    ledger.reserve(ask("a", line(amount=100)))

    refusal = refused(ledger.reserve(options("c", [line("d", 200)], [line()], [line("d", 200)])))

    assert (refusal.reason, refusal.budget) == ("busy", "b")


def test_an_exhausted_calendar_budget_says_when_it_ends(ledger: Store, clock: FixedClock) -> None:
    """The refusal's wait is the rest of the window."""
    clock.set(1_790_000_000 - 1_790_000_000 % 3600 + 600)

    refusal = refused(ledger.reserve(ask("a", line(amount=101, window=Window("hour")))))

    assert refusal.retry_after_ms == 3_000_000


def test_what_costs_nothing_fits_an_exhausted_budget(ledger: Store) -> None:
    """A price of zero is a price: free requests pass, also over a closed step."""
    ledger.settle(charged("before", 100))

    granted(ledger.reserve(ask("a", line(amount=0, below=10), line("zero", 0, limit=0))))


def test_a_limit_of_zero_blocks(ledger: Store) -> None:
    """Zero is a limit like any other."""
    assert refused(ledger.reserve(ask("a", line(amount=1, limit=0)))).reason == "exhausted"


def test_an_observed_budget_counts_and_never_refuses(ledger: Store) -> None:
    """`enforce=False` holds beyond the limit."""
    granted(ledger.reserve(ask("a", line(amount=500, enforce=False, below=1))))

    assert figures(ledger) == (0, 0, 500)


def test_asking_again_replaces_what_was_held(ledger: Store) -> None:
    """A second reserve under the same id gives back the first one's hold, even when refused."""
    ledger.reserve(ask("a", line(amount=80)))
    granted(ledger.reserve(ask("a", line(amount=90))))
    assert figures(ledger) == (0, 0, 90)

    refused(ledger.reserve(ask("a", line(amount=101))))
    assert figures(ledger) == (0, 0, 0)


def test_extend_raises_holds_past_the_limit_and_never_lowers_them(ledger: Store) -> None:
    """A stream that grows shows at once, so that admission stops."""
    ledger.reserve(ask("a", line("b", 10), line("c", 50)))

    ledger.extend("a", [300, 20])

    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 0, 300), (0, 0, 50))
    assert refused(ledger.reserve(ask("d", line(amount=1)))).reason == "busy"


def test_extend_of_the_wrong_shape_or_an_unknown_operation_changes_nothing(
    ledger: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """An amount too many or too few is not guessed at, and nothing is raised."""
    ledger.reserve(ask("a", line("b", 10), line("c", 10)))

    ledger.extend("a", [99])
    ledger.extend("a", [99, 99, 99])
    ledger.extend("nobody", [99])

    assert (figures(ledger, "b"), figures(ledger, "c")) == ((0, 0, 10), (0, 0, 10))
    assert not caplog.records


@pytest.mark.parametrize("limit", [1, 2**53])
def test_amounts_stay_exact_up_to_53_bits(ledger: Store, limit: int) -> None:
    """No amount passes through a float."""
    granted(ledger.reserve(ask("a", line(amount=limit, limit=limit))))
    ledger.settle(charged("a", limit - 1))

    assert figures(ledger) == (limit - 1, 0, 0)
    granted(ledger.reserve(ask("c", line(amount=1, limit=limit))))
    refused(ledger.reserve(ask("d", line(amount=1, limit=limit))))


async def test_areserve_answers_as_reserve_does(ledger: Store) -> None:
    """The awaited verb is the same verb."""
    assert granted(await ledger.areserve(ask("a", line(amount=60)))).holds[0].amount == 60
    assert refused(await ledger.areserve(ask("c", line(amount=60)))).reason == "busy"


def test_a_new_window_starts_empty_and_a_call_stays_in_its_own(
    ledger: Store, clock: FixedClock
) -> None:
    """A hold that is settled after the window's end is charged to the window of its reserve."""
    day = Window("day")
    grant = granted(ledger.reserve(ask("a", line(amount=100, window=day))))
    clock.advance(86_400)
    granted(ledger.reserve(ask("c", line(amount=100, window=day))))

    ledger.settle(Settlement("a", (Charge("b", grant.holds[0].window_id, 70),)))

    assert figures(ledger, window=day) == (0, 0, 100)
    clock.advance(-86_400)
    assert figures(ledger, window=day) == (70, 0, 0)


def test_labels_may_hold_any_text(ledger: Store) -> None:
    """Budget keys come from users: a lone surrogate or a NUL is a label like any other."""
    for key in ("\ud800", "a\0b", "a", "", "'; DROP TABLE balance; --", "žluťoučký 🐴"):
        grant = granted(ledger.reserve(ask(f"op-{key}", line(key, 7))))
        ledger.extend(f"op-{key}", [8])
        assert figures(ledger, key) == (0, 0, 8)
        ledger.settle(Settlement(f"op-{key}", (Charge(key, "total", 9),), output=(key, 20)))
        assert balance(ledger, key, TOTAL) == Balance(key, "total", None, settled=9)
        assert grant.holds[0].budget == key
