"""What operators order and see, in each store: the same."""

from typing import Any

import pytest
from ledger_kit import (
    TOTAL,
    Store,
    another,
    ask,
    balance,
    charged,
    claimed,
    figures,
    granted,
    line,
    options,
    refused,
)

from aden.core.window import Window
from aden.errors import ConfigurationError
from aden.ledger import (
    Account,
    AuditEntry,
    Balance,
    Charge,
    Confirm,
    Freeze,
    Held,
    Order,
    Raise,
    Reset,
    Settlement,
)
from aden.testing.clock import FixedClock

ANN: dict[str, Any] = {"who": "ann", "why": "a customer called"}


def die(ledger: Store, clock: FixedClock, name: str, amount: int, at_risk: int) -> None:
    """A process reserves and is never heard of again."""
    granted(ledger.reserve(ask(name, line(amount=amount, at_risk=at_risk))))
    clock.advance(61)


def test_a_raised_limit_counts_from_the_next_reserve_on(ledger: Store) -> None:
    """In every window, where the policy says less; and no more when it is taken back."""
    ledger.settle(charged("a", 95))
    refused(ledger.reserve(ask("c", line(amount=10))))

    assert ledger.order(Raise("b", 150, **ANN))

    grant = granted(ledger.reserve(ask("c", line(amount=10))))
    assert grant.balances[0].raised == 150
    assert grant.balances[0].limit(100) == 150
    assert grant.balances[0].limit(200) == 200
    granted(ledger.reserve(ask("d", line(amount=100, limit=300))))
    ledger.settle(Settlement("c"))
    ledger.settle(Settlement("d"))
    assert ledger.order(Raise("b", None, **ANN))
    refused(ledger.reserve(ask("c", line(amount=10))))


def test_a_raised_limit_takes_the_ladder_along(ledger: Store) -> None:
    """Eighty per cent of what is in force."""
    ledger.settle(charged("a", 85))
    dear, cheap = [line(amount=5, below=80)], [line(amount=1)]
    assert granted(ledger.reserve(options("c", dear, cheap))).option == 1

    ledger.order(Raise("b", 200, **ANN))

    assert granted(ledger.reserve(options("c", dear, cheap))).option == 0
    ledger.settle(charged("c", 75))
    assert granted(ledger.reserve(options("d", dear, cheap))).option == 1


def test_a_raised_limit_takes_the_ladder_of_a_soft_limit_along(ledger: Store) -> None:
    """What goes on beyond its limit has no other way to be relieved than by its steps."""
    ledger.settle(charged("a", 185))
    dear, cheap = [line(amount=50, below=80, soft=True)], [line(amount=50, soft=True)]
    assert granted(ledger.reserve(options("c", dear, cheap))).option == 1, "beyond the limit"

    ledger.order(Raise("b", 231, **ANN))
    assert granted(ledger.reserve(options("c", dear, cheap))).option == 1, "185 is 80 % of 231"
    ledger.order(Raise("b", 232, **ANN))
    assert granted(ledger.reserve(options("c", dear, cheap))).option == 0


def test_a_frozen_budget_refuses_all_that_costs(ledger: Store) -> None:
    """By the operator's word, not because it is exhausted; what is free or observed goes on."""
    ledger.order(Freeze("b", **ANN))

    refusal = refused(ledger.reserve(ask("a", line("c"), line(amount=1))))
    assert (refusal.reason, refusal.budget, refusal.retry_after_ms) == ("policy", "b", None)
    assert figures(ledger, "c") == (0, 0, 0)
    assert balance(ledger).frozen
    granted(ledger.reserve(ask("free", line(amount=0))))
    granted(ledger.reserve(ask("observed", line(amount=1, enforce=False))))

    ledger.order(Freeze("b", frozen=False, **ANN))
    granted(ledger.reserve(ask("a", line("c"), line(amount=1))))


def test_a_reset_begins_the_window_anew(ledger: Store, clock: FixedClock) -> None:
    """Spent is nothing; what is open stays held and settles into the fresh window."""
    ledger.settle(charged("a", 50))
    die(ledger, clock, "dead", 20, 15)
    granted(ledger.reserve(ask("open", line(amount=10))))
    assert figures(ledger) == (50, 15, 10)

    ledger.order(Reset("b", "total", **ANN))

    assert figures(ledger) == (0, 0, 10)
    ledger.settle(charged("open", 12))
    ledger.settle(charged("dead", 18))
    assert figures(ledger) == (30, 0, 0)


@pytest.mark.parametrize("as_accounts_show_it", [False, True])
def test_a_reset_of_a_rolling_window_empties_all_that_counts(
    ledger: Store, clock: FixedClock, *, as_accounts_show_it: bool
) -> None:
    """Whichever slice it names, or the window as a whole."""
    hour = Window("rolling 1h")
    for number in range(3):
        grant = granted(ledger.reserve(ask(f"{number}", line(amount=20, window=hour))))
        ledger.settle(charged(f"{number}", 20, window_id=grant.holds[0].window_id))
        clock.advance(600)
    assert figures(ledger, window=hour) == (60, 0, 0)

    (account,) = ledger.accounts()
    seen = account.balances[0] if as_accounts_show_it else balance(ledger, window=hour)
    ledger.order(Reset("b", seen.window_id, **ANN))

    assert figures(ledger, window=hour) == (0, 0, 0)


@pytest.mark.parametrize(("amounts", "settled"), [({}, 15), ({"b": 40}, 40), ({"b": 0}, 0)])
def test_what_is_unconfirmed_is_confirmed_or_corrected(
    ledger: Store, clock: FixedClock, amounts: dict[str, int], settled: int
) -> None:
    """Once; a late settlement changes nothing any more."""
    die(ledger, clock, "dead", 20, 15)
    assert figures(ledger) == (0, 15, 0)

    assert ledger.order(Confirm("dead", amounts, **ANN))

    assert figures(ledger) == (settled, 0, 0)
    assert not ledger.order(Confirm("dead", {"b": 99}, **ANN))
    ledger.settle(charged("dead", 70))
    assert figures(ledger) == (settled, 0, 0)


def test_only_the_unconfirmed_can_be_confirmed(ledger: Store) -> None:
    """Not what is open, settled or unknown."""
    granted(ledger.reserve(ask("open", line(amount=10))))
    ledger.settle(charged("settled", 7))
    for name in ("open", "settled", "unknown"):
        assert not ledger.order(Confirm(name, **ANN))

    assert figures(ledger) == (7, 0, 10)
    assert list(ledger.audit()) == []


def test_every_order_is_in_the_audit_table(ledger: Store, clock: FixedClock) -> None:
    """Who, when, why, and what it changed."""
    start = clock()
    ledger.settle(charged("a", 50))
    die(ledger, clock, "dead", 20, 15)
    given: list[Order] = [
        Raise("b", 150, **ANN),
        Raise("b", 0, **ANN),
        Freeze("b", **ANN),
        Freeze("b", frozen=False, **ANN),
        Confirm("dead", {"b": 9}, who="bob", why="ünlike · the bill"),
        Reset("b", "total", **ANN),
    ]
    for order in given:
        assert ledger.order(order)
        clock.advance(1)

    def entry(place: int, verb: str, **what: object) -> AuditEntry:
        said: dict[str, Any] = {
            **ANN,
            "at": start + 61 + place,
            "verb": verb,
            "budget": "b",
            **what,
        }
        return AuditEntry(**said)

    confirmed = {
        "who": "bob",
        "why": "ünlike · the bill",
        "window_id": "total",
        "operation": "dead",
    }
    assert list(ledger.audit()) == [
        entry(0, "raise", after=150),
        entry(1, "raise", before=150, after=0),
        entry(2, "freeze"),
        entry(3, "unfreeze"),
        entry(4, "confirm", before=15, after=9, **confirmed),
        entry(5, "reset", before=59, after=0, window_id="total"),
    ]


@pytest.mark.parametrize("who", ["", "  ", None])
def test_an_order_has_an_author_and_a_reason(who: str) -> None:
    """Both are texts that say something."""
    with pytest.raises(ConfigurationError, match="who"):
        Freeze("b", who=who, why="so")
    with pytest.raises(ConfigurationError, match="why"):
        Freeze("b", who="ann", why=who)


@pytest.mark.parametrize("amount", [-1, 2**53, 1.5, True, "9"])
def test_an_amount_is_a_whole_number_that_every_store_keeps(amount: int) -> None:
    """Of the budget's unit."""
    with pytest.raises(ConfigurationError, match="whole number"):
        Raise("b", amount, **ANN)
    with pytest.raises(ConfigurationError, match="amount for b"):
        Confirm("op", {"b": amount}, **ANN)


def test_accounts_show_every_window_of_every_budget(ledger: Store, clock: FixedClock) -> None:
    """Those of days past too; a rolling window is one; a name may hold anything."""
    day, hour = Window("day"), Window("rolling 1h")
    clock.set(1_790_000_000)
    odd = "b:x|customer=ä:1 "
    for number in range(2):
        grant = granted(
            ledger.reserve(
                ask(f"{number}", line(odd, 5, window=day), line("r", 7, window=hour), line())
            )
        )
        ledger.settle(Settlement(f"{number}", grant.holds))
        clock.advance(86_400 if number == 0 else 600)
    grant = granted(ledger.reserve(ask("open", line("r", 1, window=hour))))
    ledger.order(Freeze("never used", **ANN))
    ledger.order(Raise("r", 900, **ANN))

    ends_at = balance(ledger, "r", hour).ends_at
    assert ledger.accounts() == (
        Account("b", (Balance("b", "total", None, 20),)),
        Account(
            odd, (Balance(odd, "day:2026-09-21", None, 5), Balance(odd, "day:2026-09-22", None, 5))
        ),
        Account("never used", (), None, frozen=True),
        Account("r", (Balance("r", "rolling:3600", ends_at, 7, 0, 1, 900),), 900),
    )


def test_many_accounts_are_read_in_pages(ledger: Store) -> None:
    """More than a page of them."""
    for number in range(1_200):
        ledger.settle(charged(f"{number}", number, f"b{number:04}"))

    accounts = ledger.accounts()

    assert [account.budget for account in accounts] == [f"b{n:04}" for n in range(1, 1_200)]
    assert sum(account.balances[0].settled for account in accounts) == sum(range(1_200))


def test_holds_show_what_is_open_and_what_is_unconfirmed(ledger: Store, clock: FixedClock) -> None:
    """With the time until which."""
    die(ledger, clock, "dead", 20, 15)
    granted(ledger.reserve(ask("open", line(amount=10, at_risk=4), line("c", 1))))
    ledger.mark_sent("open", sent=False)
    ledger.settle(charged("settled", 7))

    dead, alive = ledger.holds()

    month = 35 * 86_400.0
    assert dead == Held(
        "dead", "unconfirmed", True, clock() + month, (Charge("b", "total", 20),), (15,)
    )
    charges = (Charge("b", "total", 10), Charge("c", "total", 1))
    assert alive == Held("open", "open", False, clock() + 60, charges, (4, 1))


def test_only_what_is_open_and_alive_is_counted_as_held(ledger: Store, clock: FixedClock) -> None:
    """Neither settled nor unconfirmed, nor whose lease is over though nobody has booked it yet."""
    die(ledger, clock, "dead", 20, 15)
    for name in ("a", "b", "c"):
        granted(ledger.reserve(ask(name, line(amount=10), line("c", 1))))
    ledger.settle(charged("c", 7))
    assert ledger.open_holds() == 2
    clock.advance(40)
    ledger.renew({"a": (3, 1)})
    clock.advance(25)
    assert ledger.open_holds() == 1


def test_orders_are_seen_by_every_handle(ledger: Store, clock: FixedClock) -> None:
    """They are kept, not cached."""
    ledger.order(Freeze("b", **ANN))
    other = another(ledger, clock, 10)
    try:
        granted(other.reserve(ask("a", line())))  # another ledger
    finally:
        other.close()
    refused(ledger.reserve(ask("a", line())))


def test_an_alert_is_raised_once_a_window_and_threshold(ledger: Store) -> None:
    """Its id says which; other windows, thresholds and budgets have alerts of their own."""
    claim = claimed(ledger, "b", "day:1", 80_000)
    assert claim is not None
    assert claim.id == "b:day:1:80000"
    assert claimed(ledger, "b", "day:1", 80_000) is None
    ledger.acknowledge_alert(claim)
    assert claimed(ledger, "b", "day:1", 80_000) is None

    others = [("b", "day:2", 80_000), ("b", "day:1", 95_500), ("c", "day:1", 80_000)]
    ids = [found.id for place in others if (found := claimed(ledger, *place))]
    assert ids == ["b:day:2:80000", "b:day:1:95500", "c:day:1:80000"]


def test_an_alert_whose_process_died_is_claimed_again(ledger: Store, clock: FixedClock) -> None:
    """After the lease, under the same id; not when it was acknowledged."""
    first = claimed(ledger, "b", "total", 50_000)
    clock.advance(29)
    assert claimed(ledger, "b", "total", 50_000) is None
    clock.advance(2)

    second = claimed(ledger, "b", "total", 50_000)

    assert second is not None
    assert second == first
    ledger.acknowledge_alert(second)
    clock.advance(86_400)
    assert claimed(ledger, "b", "total", 50_000) is None


def test_an_alert_of_a_rolling_window_keeps_its_id_when_it_is_claimed_again(
    ledger: Store, clock: FixedClock
) -> None:
    """Also in another slice."""
    hour = Window("rolling 1h")
    first = claimed(ledger, "b", hour.at(clock()).id, 50_000)
    assert first is not None
    clock.advance(150)

    second = claimed(ledger, "b", hour.at(clock()).id, 50_000)

    assert second is not None
    assert second.id == first.id
    ledger.acknowledge_alert(second)
    clock.advance(150)
    assert claimed(ledger, "b", hour.at(clock()).id, 50_000) is None


@pytest.mark.parametrize("order", [Reset("b", "total", **ANN), Raise("b", 7, **ANN)])
def test_an_operator_arms_alerts_again(ledger: Store, order: Reset | Raise) -> None:
    """By a reset or a raise; the id is another one, and a late acknowledgement does not count."""
    first = claimed(ledger, "b", "total", 50_000)
    assert first is not None
    ledger.order(order)
    assert claimed(ledger, "b", "total", 50_000) is None, "seen before the order"
    assert balance(ledger).epoch == 1
    second = claimed(ledger, "b", "total", 50_000, epoch=1)
    assert second is not None
    assert second.id == "b:total:50000:1"
    assert claimed(ledger, "b", "total", 50_000, epoch=1) is None
    ledger.acknowledge_alert(second)
    ledger.order(Freeze("b", **ANN))
    assert claimed(ledger, "b", "total", 50_000, epoch=1) is None


def test_a_rolling_window_alerts_again_after_its_own_length(
    ledger: Store, clock: FixedClock
) -> None:
    """Not with every slice."""
    hour = Window("rolling 1h")
    first = claimed(ledger, "b", hour.at(clock()).id, 50_000)
    assert first is not None
    ledger.acknowledge_alert(first)
    clock.advance(3_500)
    assert claimed(ledger, "b", hour.at(clock()).id, 50_000) is None
    clock.advance(101)

    second = claimed(ledger, "b", hour.at(clock()).id, 50_000)

    assert second is not None
    assert second.id != first.id
    assert TOTAL.rolling is None


def test_descriptions_are_kept_by_budget(ledger: Store) -> None:
    """The latest text of each, however many there are."""
    ledger.describe({f"b{number}": "old" for number in range(1200)})
    ledger.describe({"b7": "new", "ünïcode": "{}"})
    assert ledger.flush(5)
    found = ledger.descriptions()
    assert len(found) == 1201
    assert (found["b7"], found["b8"], found["ünïcode"]) == ("new", "old", "{}")
