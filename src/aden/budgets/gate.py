"""After the ledger has answered: policy, ledger and hook become one Decision. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from aden.budgets.budget import Budget, Match
from aden.budgets.ladder import Throttle
from aden.budgets.plan import Plan, Quote, lines
from aden.budgets.policy import Policy
from aden.core.decision import ALLOW, Decision, most_restrictive
from aden.errors import RefusalDetails
from aden.ledger.protocol import Ask, Balance, Grant, Option, Reach, Refusal
from aden.ledger.rules import choose, short_of, step_below

Outcome = Grant | Refusal | None
"""What the ledger answered; None where it was not asked."""


def decide(plan: Plan, policy: Policy, outcome: Outcome, hook: Decision) -> Decision:
    """The most restrictive of policy, ledger and hook."""
    house = plan.block or most_restrictive(
        plan.standing.decision, _ledger_decision(plan, policy, outcome)
    )
    if house.action == "block":
        if hook.action == "block":  # both refuse: the ledger's reason in the hook's words
            return replace(house, source="hook", message=hook.message)
        return house
    if hook.model is not None and house.model is not None:
        hook = replace(hook, model=_cheaper(plan, house.model, hook.model))
    return most_restrictive(house, hook)


def observed(plan: Plan, policy: Policy, outcome: Outcome, hook: Decision) -> Decision | None:
    """What would have been decided if nothing were only observed; None where nothing is.

    The balances are those of the reserve that was made, so it costs no trip of its own.
    """
    if plan.would_be is None or policy.would_be is None:
        return None
    asked = plan.would_be.ask
    answer: Outcome = None
    if outcome is not None and asked is not None:
        balances = balances_of(outcome)
        verdict = choose(asked, balances)
        if verdict.option is None:
            refusing = balances[verdict.budget]
            answer = Refusal(
                asked.operation, verdict.reason, refusing.budget, outcome.balances, None
            )
        else:
            answer = Grant(asked.operation, verdict.option, (), outcome.balances)
    return decide(plan.would_be, policy.would_be, answer, hook)


def second_ask(
    operation: str, plan: Plan, policy: Policy, outcome: Outcome, quote: Quote
) -> Ask | None:
    """What to reserve for the hook's own model; None where the hold already bears it."""
    if not isinstance(outcome, Grant):
        return None
    needed = lines(plan.matches, policy, quote, (quote,))
    fits = all(line.amount <= hold.amount for line, hold in zip(needed, outcome.holds, strict=True))
    return None if fits else Ask(operation, (Option(needed),))


def refused(refusal: Refusal, plan: Plan, options: Sequence[Option] = ()) -> Decision:
    """A ledger's refusal as a Decision. *options*: what was asked, where it was not the plan."""
    match = _match_of(plan, refusal.budget)
    balance = balances_of(refusal)[match.key]
    budget, show = match.budget, match.budget.limit.show
    if refusal.reason == "policy":
        message = f"budget {budget.id!r} is frozen by an operator"
        return Decision("block", "policy", "ledger", message, budget.id)
    if refusal.reason == "busy":
        held = f"{show(balance.spent)} spent and {show(balance.held)} held"
        why = f"is taken up by open requests: {held}"
    else:
        why = f"is exhausted: {show(balance.spent)} spent"
    message = f"budget {budget.id!r} {why} of {show(balance.limit(budget.limit.amount))}"
    message += _asking(options or (plan.ask.options if plan.ask else ()), match)
    return Decision(
        "block", refusal.reason, "ledger", message, budget.id, retry_after_ms=refusal.retry_after_ms
    )


def _asking(options: Sequence[Option], match: Match) -> str:
    """What the request may cost of a budget in its cheapest form, for people."""
    limit = match.budget.limit
    if limit.unit == "requests":
        return ""
    lines = (line for option in options for line in option.lines)
    least = min((line.amount for line in lines if line.budget == match.key), default=0)
    if not least:
        return ""
    verb = "cost" if limit.unit == "usd" else "use"
    return f", and this request may {verb} {limit.show(least)}"


def stated(plan: Plan, outcome: Outcome) -> Decision:
    """What policy and ledger have said by themselves, where nothing more could be decided."""
    if plan.block is not None:
        return plan.block
    if isinstance(outcome, Refusal):
        return refused(outcome, plan)
    granted = plan.quotes[outcome.option].model if outcome else plan.quotes[0].model
    if granted != plan.quotes[0].model:
        return Decision("degrade", "policy", "policy", model=granted)
    return ALLOW


def details(decision: Decision, plan: Plan, outcome: Outcome) -> RefusalDetails:
    """What a refusal tells the caller."""
    match = _in_the_way(decision, plan, outcome)
    balance = balance_of(outcome, match) if match else None
    limit = match.budget.limit if match else None
    full = None
    if limit:
        full = limit.value(balance.limit(limit.amount) if balance else limit.amount)
    spent = limit.value(balance.spent) if limit and balance else None
    in_money = limit is not None and limit.unit == "usd"
    return RefusalDetails(
        message=decision.message or "the request was refused",
        reason=decision.reason or "policy",
        source=decision.source or "policy",
        budget_id=match.budget.id if match else None,
        scope=match.scope if match else None,
        limit_usd=full if in_money else None,
        spent_usd=spent if in_money else None,
        limit=full,
        spent=spent,
        unit=limit.unit if limit else None,
        retry_after_ms=decision.retry_after_ms,
    )


def budget_views(plan: Plan, outcome: Outcome, reach: Reach) -> tuple[Mapping[str, object], ...]:
    """The matching budgets as the hook sees them, the tightest first."""
    if outcome is None:
        return ()
    balances = balances_of(outcome)
    views = [_view(match, balances[match.key], plan, reach) for match in plan.matches]
    return tuple(sorted(views, key=_tightness))


def tightest(matches: Sequence[Match], outcome: Outcome) -> Match | None:
    """The one of these budgets of which the largest share is spent."""
    if outcome is None or not matches:
        return None
    if len(matches) == 1:
        return matches[0]
    balances = balances_of(outcome)
    return max(matches, key=lambda match: percent_used(match.budget, balances[match.key]))


def percent_used(budget: Budget, balance: Balance, more: int = 0) -> float:
    """Per cent of the limit in force that are spent, with *more* on top."""
    return budget.percent_used(balance.spent + more, balance.limit(budget.limit.amount))


def _ledger_decision(plan: Plan, policy: Policy, outcome: Outcome) -> Decision:
    if outcome is None:
        return ALLOW
    if isinstance(outcome, Refusal):
        return refused(outcome, plan)
    decision = ALLOW
    if plan.quotes[outcome.option].model != plan.quotes[0].model:
        decision = _degraded(plan, outcome)
    balances = None
    for match in plan.matches:
        if match.ladder and policy.enforces(match.budget):
            balances = balances or balances_of(outcome)
            decision = most_restrictive(decision, _throttled(match, balances[match.key]))
    return decision


def _degraded(plan: Plan, grant: Grant) -> Decision:
    """Why a cheaper option than the asked one was granted."""
    quote, balances = plan.quotes[grant.option], balances_of(grant)
    assert plan.ask is not None
    for match, line in zip(plan.matches, plan.ask.options[0].lines, strict=True):
        balance = balances[match.key]
        below = step_below(line, balance)
        if line.enforce and below is not None and balance.spent >= below:
            used = percent_used(match.budget, balance)
            message = f"budget {match.budget.id!r} is {used:.1f} % used"
            return Decision("degrade", "policy", "policy", message, match.budget.id, quote.model)
    for match, line in zip(plan.matches, plan.ask.options[0].lines, strict=True):
        if (reason := short_of(line, balances[match.key])) is not None:
            message = f"budget {match.budget.id!r} does not bear {plan.quotes[0].model!r} any more"
            return Decision("degrade", reason, "ledger", message, match.budget.id, quote.model)
    return Decision("degrade", "policy", "policy", None, None, quote.model)


def _throttled(match: Match, balance: Balance) -> Decision:
    budget = match.budget
    # A request counts from the moment it is sent, money only when it is settled.
    held = balance.held if budget.limit.unit == "requests" else 0
    used = percent_used(budget, balance, held)
    steps = [step for step in match.ladder if isinstance(step, Throttle) and used >= step.at]
    if not steps:
        return ALLOW
    message = f"budget {budget.id!r} is {used:.1f} % used"
    return Decision(
        "throttle",
        "policy",
        "policy",
        message,
        budget.id,
        delay_ms=max(step.delay_ms for step in steps),
        delay_source="policy",
    )


def _cheaper(plan: Plan, one: str, other: str) -> str:
    costs = {quote.model: quote.amounts.usd for quote in reversed(plan.quotes)}
    if (cost := costs.get(one)) is None:  # a rule's model that cannot take the request
        return other
    return one if costs.get(other, cost + 1) > cost else other


def _view(match: Match, balance: Balance, plan: Plan, reach: Reach) -> Mapping[str, object]:
    budget, limit = match.budget, match.budget.limit
    full = balance.limit(limit.amount)
    cheapest = min(quote.holds(budget) for quote in plan.quotes)
    fits = budget.beyond != "cancel" or (
        full > 0 and (cheapest == 0 or balance.spent + cheapest <= full)
    )
    ends_at = balance.ends_at
    return MappingProxyType(
        {
            "budget_id": budget.id,
            "name": budget.name or budget.id,
            "type": budget.type,
            "unit": limit.unit,
            "limit": limit.value(full),
            "spent": limit.value(balance.spent),
            "reserved": limit.value(balance.held),
            "remaining": limit.value(max(0, full - balance.spent - balance.held)),
            "percent_used": percent_used(budget, balance),
            "exhausted": not fits,
            "window_end": datetime.fromtimestamp(ends_at, UTC) if ends_at is not None else None,
            "reach": reach,
        }
    )


def _tightness(view: Mapping[str, object]) -> tuple[bool, float]:
    used = view["percent_used"]
    assert isinstance(used, float)
    return not view["exhausted"], -used


def _in_the_way(decision: Decision, plan: Plan, outcome: Outcome) -> Match | None:
    """The budget that a refusal is about: of a template the one that refused, else the tightest."""
    if isinstance(outcome, Refusal):
        refusing = _match_of(plan, outcome.budget)
        if refusing.budget.id == decision.budget_id:
            return refusing
    named = tuple(each for each in plan.matches if each.budget.id == decision.budget_id)
    return tightest(named or plan.matches, outcome) or next(iter(named), None)


def _match_of(plan: Plan, key: str) -> Match:
    return next(match for match in plan.matches if match.key == key)


def balances_of(outcome: Outcome) -> dict[str, Balance]:
    """What the ledger said of each budget, by its key."""
    return {balance.budget: balance for balance in outcome.balances} if outcome else {}


def balance_of(outcome: Outcome, match: Match) -> Balance | None:
    """What the ledger said of one budget; None where it was not asked."""
    for balance in outcome.balances if outcome else ():
        if balance.budget == match.key:
            return balance
    return None
