"""The table at the end of the demo, read from the ledger as any program can."""

from collections.abc import Callable, Iterable
from pathlib import Path

from aden.budgets.policy_file import load_policy
from aden.core.line import decision_words
from aden.core.money import format_usd
from aden.core.record import CallRecord
from aden.ledger import Ledger
from aden.testing import Bill, BillItem


def print_report(ledger: Ledger, budgets: Path, bill: Bill | None) -> bool:
    """Print spend by model and job, the budget, the provider's bill beside ours, refusals.

    Returns:
        Whether any call got an answer, be it the provider's or a refusal.
    """
    calls = list(ledger.journal())
    _group("by model", calls, lambda call: call.model)
    _group("by job", calls, lambda call: f"{call.attribution.session_id} (process {call.pid})")
    refused = any(call.decision.action == "block" for call in calls)
    _budget(ledger, budgets, refused)
    if bill is not None:
        _compare(calls, bill)
    _decisions(calls)
    return refused or any(call.error_type is None for call in calls)


def _group(title: str, calls: Iterable[CallRecord], key: Callable[[CallRecord], str]) -> None:
    groups: dict[str, list[CallRecord]] = {}
    for call in calls:
        if call.attempts:
            groups.setdefault(key(call), []).append(call)
    print(f"\nSpend {title:<38} calls     in  cached    out        cost")
    for name, members in sorted(groups.items()):
        counts = [
            sum(getattr(call.usage, unit) or 0 for call in members)
            for unit in ("input_tokens", "cached_tokens", "output_tokens")
        ]
        cost = format_usd(sum(call.cost for call in members))
        row = "".join(f"{count:>7}" for count in counts)
        print(f"  {name:<42} {len(members):>5}{row}  {cost:>10}")


def _budget(ledger: Ledger, budgets: Path, refused: bool) -> None:
    print(f"\nBudget   (ledger {ledger.url}, reach: {ledger.reach})")
    for budget in load_policy(budgets, "enforce").budgets:
        (balance,) = ledger.balances([(budget.id, budget.span)])
        used = budget.percent_used(balance.spent)
        limit = budget.limit.show(budget.limit.amount)
        print(
            f"  {budget.id}: {format_usd(balance.spent)} of {limit} spent "
            f"({used:.1f} %), of it unconfirmed {format_usd(balance.unconfirmed)}, "
            f"held {format_usd(balance.held)}"
        )
        left = f"  {format_usd(max(0, budget.limit.amount - balance.spent))} are left"
        if refused:
            left += ": less than one more request could have cost, "
            left += "and a request that might not fit is refused"
        print(left)


def _compare(calls: Iterable[CallRecord], bill: Bill) -> None:
    """Ours and the provider's figures, call by call through the response id."""
    ours = {call.response_id or call.id: call for call in calls if call.attempts}
    exact: list[tuple[CallRecord, BillItem]] = []
    guessed: list[tuple[CallRecord, BillItem]] = []
    unknown = []
    for item in bill.items:
        call = ours.pop(item.response_id, None)
        if call is None:
            unknown.append(item)
        else:
            (guessed if call.usage.estimated else exact).append((call, item))
    print("\nThe provider's bill beside ours      calls    provider        ours   difference")
    _row("usage reported", exact)
    _row("cut off: estimated", guessed)
    for item in unknown:
        print(f"  billed, but not in our journal: {item}")
    for call in ours.values():
        print(f"  in our journal, but not billed: {call.id} {format_usd(call.cost)}")


def _row(title: str, pairs: list[tuple[CallRecord, BillItem]]) -> None:
    theirs = sum(item.nano_usd or 0 for _, item in pairs)
    mine = sum(call.cost for call, _ in pairs)
    share = f" ({100 * (mine - theirs) / theirs:+.1f} %)" if theirs and mine != theirs else ""
    print(
        f"  {title:<34} {len(pairs):>5}  {format_usd(theirs):>10}  {format_usd(mine):>10}"
        f"   {mine - theirs:,} nano-dollars{share}"
    )


def _decisions(calls: Iterable[CallRecord]) -> None:
    counts: dict[str, int] = {}
    for call in calls:
        name = decision_words(call.decision, delays=False)
        counts[name] = counts.get(name, 0) + call.repeats
    print(f"\n{'Decisions':<44} calls")
    for name, count in counts.items():
        print(f"  {name:<42} {count:>5}")
    print("  busy: what is left was held for open requests; exhausted: not even without them")
