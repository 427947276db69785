"""What a call needs beyond its first hold.

A sending after one that may be billed (a retry after a time-out) is reserved before it happens, and
where the most that a call can cost has to fit, so is each slice of a stream that takes no cap. What
the call owes already stays held whatever is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aden.budgets import gate
from aden.budgets.bound import SLICE_TOKENS, Cut, cuts
from aden.budgets.plan import Plan, Quote, binds, lines, quote, unbounded
from aden.core.decision import Decision
from aden.core.limit import Amounts
from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.ledger.protocol import Ask, Grant, Line, Option, Refusal
from aden.ledger.rules import short_of
from aden.metering.call import Call
from aden.metering.pricing import bill

if TYPE_CHECKING:
    from aden.metering.meter import Meter


@dataclass(frozen=True, slots=True)
class Further:
    """One more reserve of an open call."""

    ask: Ask
    """An option for each of `quotes`; the last one keeps what is owed and always fits."""
    quotes: tuple[Quote, ...]
    before: Grant
    block: Decision | None = None
    """Set where nothing bounds it: there is nothing to ask."""


def next_sending(meter: "Meter", call: Call, request: Request, *, as_sent: bool) -> Further | None:
    """What to reserve before *request* is sent; None where the hold bears it.

    Args:
        meter: The house.
        call: The call that the sending belongs to.
        request: As it will be sent.
        as_sent: Whether its cap is on the wire already and cannot be lowered any more.
    """
    held = call.quote
    if held is None or not (call.attempts or call.policy.bounds):
        return None
    try:
        if bound_to_fit(call):
            return _next_sending(meter, call, request, held, as_sent=as_sent)
        return _sent_again(meter, call, request, held)
    except Exception:
        meter.cannot("gate", "a sending could not be bounded", trace=True)
        return None


def _next_sending(
    meter: "Meter", call: Call, request: Request, held: Quote, *, as_sent: bool
) -> Further | None:
    owed = _owed(meter, call)
    same = _quote(meter, call, request, held.cut)
    fits = held.cut.cap is None or request.takes_cap
    if fits and not _is_some(owed) and same.bound == held.bound:
        return None
    ways = (held.cut,) if as_sent else cuts(request)
    return _further(call, [_quote(meter, call, request, cut) for cut in ways], owed, request)


def _sent_again(meter: "Meter", call: Call, request: Request, held: Quote) -> Further | None:
    if not isinstance(call.outcome, Grant) or not call.outcome.holds:
        return None
    owed = _owed(meter, call)
    return _further(call, [held], owed, request) if _is_some(owed) else None


def next_slice(meter: "Meter", call: Call, request: Request, tokens: int) -> Further | None:
    """What to reserve before a stream outgrows its hold; *tokens* of a choice are here or near."""
    if call.quote is None or not bound_to_fit(call):
        return None
    cut = Cut(tokens + SLICE_TOKENS, sliced=True)
    try:
        return _further(call, [_quote(meter, call, request, cut)], _owed(meter, call), request)
    except Exception:
        meter.cannot("gate", "a stream could not be bounded", trace=True)
        return None


def refusal(call: Call, further: Further) -> RequestCancelledError | None:
    """By what an open call ends that is not sent again; None where it is."""
    decision = answered(call, further)
    if decision is None or call.plan is None:
        return None
    call.decision = decision
    return call.refuse(gate.details(decision, call.plan, call.outcome))


def quote_for(meter: "Meter", call: Call, model: str) -> Quote:
    """The quote for *model* at the length that was granted."""
    assert call.plan is not None
    option = call.outcome.option if isinstance(call.outcome, Grant) else 0
    granted = call.quote or call.plan.quotes[option]
    if granted.model == model:
        return granted
    for each in call.plan.quotes:
        if each.model == model and each.cut == granted.cut:
            return each
    prices, estimate = call.prices or meter.prices, meter.estimate(call, model)
    strict = granted.bound is not None
    return quote(call.request, model, prices, estimate, granted.cut, strict=strict)


def answered(call: Call, further: Further) -> Decision | None:
    """Note the ledger's answer; why the call may go no further, or None."""
    assert call.plan is not None
    if further.block is not None:
        return further.block
    outcome = call.outcome
    if outcome is further.before:  # the ledger did not answer; `Reserver.failed` has decided
        return call.hook if call.hook is not None and call.hook.action == "block" else None
    if isinstance(outcome, Refusal):
        return gate.refused(outcome, call.plan, further.ask.options[:-1])
    assert isinstance(outcome, Grant)
    if outcome.option < len(further.quotes):
        call.quote = further.quotes[outcome.option]
        return None
    return gate.refused(_short(outcome, further.ask), call.plan, further.ask.options[:-1])


def bound_to_fit(call: Call) -> bool:
    """Whether some budget of the call has to bear the most that it can cost."""
    plan = call.plan
    if plan is None or not isinstance(call.outcome, Grant):
        return False
    policy = call.policy
    return policy.bounds and any(binds(match.budget, policy) for match in plan.matches)


def _further(call: Call, quotes: Sequence[Quote], owed: Amounts, request: Request) -> Further:
    plan, before = call.plan, call.outcome
    assert plan is not None
    assert isinstance(before, Grant)
    block = unbounded(plan.matches, call.policy, quotes[0], request)
    options = [Option(_with(owed, plan, call, each)) for each in quotes]
    options.append(_kept(before, owed, plan, call))
    return Further(Ask(call.id, tuple(options)), tuple(quotes), before, block)


def _quote(meter: "Meter", call: Call, request: Request, cut: Cut) -> Quote:
    estimate = meter.estimate(call, request.model)
    return quote(request, request.model, call.prices or meter.prices, estimate, cut, strict=True)


def _owed(meter: "Meter", call: Call) -> Amounts:
    """What the attempts that are over may be billed for."""
    over = [attempt for attempt in call.attempts if attempt.outcome not in ("open", "free")]
    # However often it is sent, it counts as one request.
    return replace(bill(call, meter.estimator, meter.prices, over).amounts, requests=0)


def _is_some(owed: Amounts) -> bool:
    return bool(owed.usd or owed.of("tokens") or owed.of("seconds"))


def _with(owed: Amounts, plan: Plan, call: Call, chosen: Quote) -> tuple[Line, ...]:
    """The lines of a quote, and what is owed besides; the ladder has been climbed already."""
    return tuple(
        replace(
            line,
            amount=line.amount + owed.of(match.budget.limit.unit),
            at_risk=line.at_risk + owed.of(match.budget.limit.unit),
            below=None,
        )
        for match, line in zip(
            plan.matches, lines(plan.matches, call.policy, chosen, (chosen,)), strict=True
        )
    )


def _kept(before: Grant, owed: Amounts, plan: Plan, call: Call) -> Option:
    """What is held where nothing more is sent."""
    assert call.quote is not None
    kept = []
    for match, hold, line in zip(
        plan.matches,
        before.holds,
        lines(plan.matches, call.policy, call.quote, (call.quote,)),
        strict=True,
    ):
        started = any(attempt.outcome == "open" for attempt in call.attempts)
        amount = hold.amount if started else owed.of(match.budget.limit.unit)
        kept.append(replace(line, amount=amount, at_risk=amount, below=None, enforce=False))
    return Option(tuple(kept))


def _short(grant: Grant, ask: Ask) -> Refusal:
    """Which budget does not bear the shortest way to go on."""
    balances = gate.balances_of(grant)
    tried = ask.options[-2].lines
    for line in tried:
        if (reason := short_of(line, balances[line.budget])) is not None:
            return Refusal(grant.operation, reason, line.budget, grant.balances, None)
    return Refusal(grant.operation, "exhausted", tried[0].budget, grant.balances, None)
