"""What a large policy costs in front of a request: 10,000 budgets defined, 20 of them matching.

Each row is the median over many requests, each made by another caller in turn: finding the
budgets of a caller who has not asked before, and of one who has; with the plan; with the answer of
a ledger. Run: make bench
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

from aden.budgets.budget import Budget
from aden.budgets.plan import Estimate, plan
from aden.budgets.policy import Policy, make_policy
from aden.budgets.scope import ANY
from aden.core.attribution import Attribution
from aden.core.request import Request
from aden.ledger import Ledger, open_ledger
from aden.ledger.protocol import Settlement
from aden.pricing import PriceBook

DEFINED = 10_000
MATCHING = 20
REQUESTS = 2_000
COLUMNS = ("first sight", "match", "+ plan", "+ memory", "+ sqlite")
CALLERS = [
    Attribution(customer_id=f"customer-{n}", agent="hotel", feature="booking", tags=("trial",))
    for n in range(50)
]
REQUEST = Request("openai", "gpt-4o", input_chars=400)
ESTIMATE = Estimate(100, 100)


def one() -> Policy:
    """One budget, which every request matches."""
    return make_policy([Budget("all", "9000000")])


def many() -> Policy:
    """A budget for each of thousands of customers; each caller matches one of them and 19 more."""
    wide = [
        Budget(f"wide-{n}", "9000000", scope=scope)
        for n, scope in enumerate(
            [{}] * 7
            + [{"agent": "hotel"}] * 4
            + [{"feature": "booking"}] * 3
            + [{"tag": "trial"}, {"provider": "openai"}, {"model": "gpt-4*"}]
            + [{"customer": ANY}, {"customer": ANY, "agent": "hotel"}]
        )
    ]
    customers = [
        Budget(f"b{n}", "9000000", scope={"customer": f"customer-{n}"})
        for n in range(DEFINED - len(wide))
    ]
    return make_policy([*wide, *customers])


def main() -> None:
    """Print the table."""
    large = many()
    for attribution in CALLERS:
        assert len(large.matching(REQUEST, attribution)) == MATCHING
    policies = {"1 budget": one(), f"{DEFINED:,}, {MATCHING} match": large}
    rows = {name: _row(policy) for name, policy in policies.items()}
    base, many_rows = rows.values()
    rows["times"] = [big / small for big, small in zip(many_rows, base, strict=True)]
    print(f"{'median µs':<24}" + "".join(f"{name:>14}" for name in COLUMNS))
    for name, row in rows.items():
        print(f"{name:<24}" + "".join(f"{value:>14.1f}" for value in row))


def _row(policy: Policy) -> list[float]:
    prices = PriceBook()

    def matching(attribution: Attribution, operation: str) -> None:
        policy.matching(REQUEST, attribution)

    def planning(attribution: Attribution, operation: str) -> None:
        plan(operation, REQUEST, attribution, policy, prices, lambda model: ESTIMATE)

    row = [_first_sight(policy), _median(matching), _median(planning)]
    with tempfile.TemporaryDirectory() as directory:
        for url in ("memory:", f"sqlite://{directory}/ledger.db"):
            ledger = open_ledger(url)

            def reserving(
                attribution: Attribution, operation: str, ledger: Ledger = ledger
            ) -> None:
                planned = plan(operation, REQUEST, attribution, policy, prices, lambda _: ESTIMATE)
                assert planned.ask is not None
                ledger.reserve(planned.ask)

            def after(operation: str, ledger: Ledger = ledger) -> None:
                ledger.settle(Settlement(operation))
                ledger.flush(1)

            row.append(_median(reserving, after))
            ledger.close()
    return row


def _first_sight(policy: Policy) -> float:
    """Microseconds to find the budgets of somebody who has not asked yet."""
    strangers = [replace(attribution, user_id=str(n)) for n in range(40) for attribution in CALLERS]
    took = []
    for attribution in strangers:
        started = time.perf_counter()
        policy.matching(REQUEST, attribution)
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1e6


def _median(
    work: Callable[[Attribution, str], None], after: Callable[[str], object] = str
) -> float:
    """Microseconds of *work*, without what is done *after* it."""
    took = []
    for number, attribution in zip(range(REQUESTS), cycle(CALLERS), strict=False):
        started = time.perf_counter()
        work(attribution, str(number))
        took.append(time.perf_counter() - started)
        after(str(number))
    return statistics.median(took) * 1e6


if __name__ == "__main__":
    main()
