"""Before the ledger is asked: which ways to send the request there are, and what each must fit."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from aden.budgets.bound import AS_ASKED, UNANSWERED, Bound, Cut, bound, cuts
from aden.budgets.budget import Budget, Match
from aden.budgets.ladder import Degrade
from aden.budgets.policy import NOTHING_STANDING, Policy, Standing
from aden.core.abilities import keeps_no_schema, knows_no_sound, reads_text_only, takes_effort
from aden.core.attribution import Attribution
from aden.core.decision import Decision
from aden.core.limit import Amounts
from aden.core.request import Request, task_of
from aden.core.usage import Usage
from aden.core.value import value
from aden.ledger.protocol import Ask, Line, Option
from aden.pricing import Price, Prices


@value
class Estimate:
    """What a request is taken to use, before it is sent."""

    input_tokens: int
    output_tokens: int
    """Of one choice, where the request itself sets no lower cap."""

    def usage(self, request: Request, cut: Cut = AS_ASKED) -> Usage:
        """As a Usage, for pricing."""
        output = self.output_tokens
        for cap in (request.max_output_tokens, cut.cap):
            if cap is not None and cap < output:
                output = cap
        output *= request.choices
        if not request.speech:
            return Usage(self.input_tokens, output, estimated=True)
        return Usage(
            self.input_tokens,
            output,
            audio_input_tokens=min(self.input_tokens, request.input_extra_tokens),
            audio_output_tokens=output,
            estimated=True,
        )


@value
class Quote:
    """One way to send the request: the model and what it would hold."""

    model: str
    price: Price
    input_tokens: int
    output_tokens: int
    """What `amounts` reserves for the output."""
    amounts: Amounts
    at_risk: Amounts
    """What is booked if the process dies right after sending: the input, of a plain call all."""
    cut: Cut = AS_ASKED
    bound: Bound | None = None
    """What it can use at most; None where nothing bounds it, or no budget asks."""

    def holds(self, budget: Budget) -> int:
        """What it would hold of a budget, in the budget's unit."""
        return self._of(budget, self.amounts)

    def risks(self, budget: Budget) -> int:
        """What of that is booked if the process dies right after sending."""
        return self._of(budget, self.at_risk)

    def _of(self, budget: Budget, likely: Amounts) -> int:
        if not counts(budget, self.price.source):
            return 0
        most = self.bound.amounts if self.bound and budget.bounds else likely
        return most.of(budget.limit.unit)


@value
class Plan:
    """What the ledger is to be asked, or why it need not be."""

    matches: tuple[Match, ...]
    quotes: tuple[Quote, ...]
    """One for each option of `ask`, in the same order."""
    asked: Quote
    """The request as it was asked for."""
    ask: Ask | None = None
    """None where no budget matches: nothing is reserved."""
    block: Decision | None = None
    """Set where the request is refused whatever the ledger says."""
    standing: Standing = NOTHING_STANDING
    """What rules make of the request whatever the ledger says."""
    would_be: "Plan | None" = None
    """The plan if nothing were only observed; None where nothing is."""


Outputs = Callable[[str], Estimate]
"""The estimate for this request if it goes to the named model."""


def plan(
    operation: str,
    request: Request,
    attribution: Attribution,
    policy: Policy,
    prices: Prices,
    estimate: Outputs,
) -> Plan:
    """List the ways to send a request in the order in which they are to be tried.

    The longest answer first; at the same length the asked model, then the cheaper ones.
    """
    would_be = None
    if policy.would_be is not None:
        would_be = plan(operation, request, attribution, policy.would_be, prices, estimate)
    matched = policy.matching(request, attribution)
    asked = first = quote(request, request.model, prices, estimate(request.model))
    standing = policy.standing(request, attribution)
    if policy.mode != "enforce":
        standing = Standing(alerts=standing.alerts)
    if standing.decision.action == "block":
        block = standing.decision
        return Plan(matched, (asked,), asked, None, block, standing, would_be)
    if (model := standing.decision.model) is not None:
        degraded = quote(request, model, prices, estimate(model))
        first = degraded if takes(degraded, request) else asked
    if not matched:
        return Plan(matched, (first,), asked, None, None, standing, would_be)
    targets = [
        to
        for to in _targets(matched, policy)
        if to != first.model and policy.blocked(replace(request, model=to), attribution) is None
    ]
    quotes: tuple[Quote, ...] = (first,)
    strict = policy.bounds and any(binds(match.budget, policy) for match in matched)
    if targets or strict:
        first, *others = ways(request, first, targets, prices, estimate, strict=strict)
        fitting = (
            each
            for each in others
            if takes(each, request) and not unbounded(matched, policy, each, request)
        )
        quotes = (first, *fitting)
    refused = unpriced(matched, policy, first) or unbounded(matched, policy, first, request)
    if refused:
        return Plan(matched, quotes, asked, None, refused, standing, would_be)
    ask = Ask(operation, options(matched, policy, quotes))
    return Plan(matched, quotes, asked, ask, None, standing, would_be)


def ways(
    request: Request,
    first: Quote,
    others: Iterable[str],
    prices: Prices,
    estimate: Outputs,
    *,
    strict: bool,
) -> tuple[Quote, ...]:
    """The request as *first*, or to *others*; *strict*: at each length at which it may be sent."""
    if not strict:
        return (first, *[quote(request, model, prices, estimate(model)) for model in others])
    estimates = {model: estimate(model) for model in (first.model, *others)}
    return tuple(
        quote(request, model, prices, estimates[model], cut, strict=True)
        for cut in cuts(request)
        for model in estimates
    )


def options(
    matched: tuple[Match, ...], policy: Policy, quotes: tuple[Quote, ...]
) -> tuple[Option, ...]:
    """What the ledger is asked for: one option for each quote."""
    return tuple([Option(lines(matched, policy, each, quotes)) for each in quotes])


def takes(target: Quote, request: Request) -> bool:
    """Whether a model can take a request that was made for another one, as far as is known."""
    if target.model == request.model:
        return True
    if request.pinned or (request.effort and not takes_effort(target.model)):
        return False
    if (
        (request.media and reads_text_only(target.model))
        or (request.sound and knows_no_sound(target.model))
        or (request.schema and keeps_no_schema(target.model))
    ):
        return False
    if task_of(target.model) != request.task and target.price.source != "floor":
        return False
    window = target.price.context_tokens
    return window is None or target.input_tokens <= window


def quote(
    request: Request,
    model: str,
    prices: Prices,
    estimate: Estimate,
    cut: Cut = AS_ASKED,
    *,
    strict: bool = False,
) -> Quote:
    """Price one way to send the request; *strict*: also what it can cost at most."""
    usage = _likely(request, model, prices, estimate, cut)
    price = prices.price(request, model, usage)
    sent = Amounts(price.cost(usage), usage)
    at_risk = sent
    if request.stream:
        prompt = _likely(request, model, prices, estimate, UNANSWERED)
        at_risk = Amounts(price.cost(prompt), prompt)
    most = bound(request, model, price, cut) if strict else None
    output = usage.output_tokens or 0
    return Quote(model, price, estimate.input_tokens, output, sent, at_risk, cut, most)


def _likely(request: Request, model: str, prices: Prices, estimate: Estimate, cut: Cut) -> Usage:
    usage = estimate.usage(request, cut)
    if (carried := request.carries).counted:
        return usage.filled(carried) if prices.price(request, model).in_tokens else carried
    return usage


def unpriced(matched: tuple[Match, ...], policy: Policy, chosen: Quote) -> Decision | None:
    """A block where the price is unknown and a matching budget asks to refuse that."""
    if chosen.price.source != "floor":
        return None
    for match in matched:
        if match.budget.unknown_price == "refuse" and policy.enforces(match.budget):
            message = f"no price is known for {chosen.model!r}, and budget {match.budget.id!r} "
            message += "refuses what it cannot price; ADEN_PRICES can name one"
            return Decision("block", "unpriced", "policy", message, match.budget.id)
    return None


def binds(budget: Budget, policy: Policy) -> bool:
    """Whether the most that a request can cost has to fit a budget."""
    return budget.bounds and policy.enforces(budget)


def unbounded(
    matched: tuple[Match, ...], policy: Policy, chosen: Quote, request: Request
) -> Decision | None:
    """A block where nobody can say what the request costs at most, and a budget has to know."""
    for match in matched if policy.bounds else ():
        budget = match.budget
        if not binds(budget, policy):
            continue
        if budget.limit.unit == "usd" and chosen.price.is_said_free:
            continue
        if chosen.bound is None:
            why = f"nothing limits {request.boundless or 'what it reads or writes'}"
        elif not counts(budget, chosen.price.source):
            why = f"no price is known for {chosen.model!r}"
        else:
            continue
        message = f"budget {budget.id!r} holds the most that a request can cost, and {why}"
        return Decision("block", "unbounded", "policy", message, budget.id)
    return None


def lines(
    matched: tuple[Match, ...], policy: Policy, chosen: Quote, quotes: tuple[Quote, ...]
) -> tuple[Line, ...]:
    """What each matching budget must bear if the request is sent as *chosen*."""
    return tuple([_line(match, policy, chosen, quotes) for match in matched])


def _line(match: Match, policy: Policy, chosen: Quote, quotes: tuple[Quote, ...]) -> Line:
    budget, amount = match.budget, chosen.holds(match.budget)
    at_risk = amount if chosen.at_risk is chosen.amounts else chosen.risks(budget)
    below = _next_step(match, chosen, quotes) if match.ladder else None
    enforce = policy.enforces(budget)
    soft = budget.beyond != "cancel" and _goes_on(match, chosen, quotes)
    # By position: by name it takes a third longer, for each of a caller's budgets.
    return Line(match.key, budget.span, budget.limit.amount, amount, at_risk, below, enforce, soft)


def counts(budget: Budget, price_source: str) -> bool:
    """False for money that nobody can put a figure on, where the budget allows that."""
    if price_source != "floor" or budget.limit.unit != "usd":
        return True
    return budget.unknown_price != "allow"


def _goes_on(match: Match, chosen: Quote, quotes: tuple[Quote, ...]) -> bool:
    """Whether a request that is sent as *chosen* goes on beyond the limit.

    What goes on with a ladder's last model goes on with one that is further down as well: to send
    that instead would save nothing.
    """
    if match.budget.beyond == "degrade":
        last = [step.to for step in match.ladder if isinstance(step, Degrade)][-1:]
        depth = _depth(chosen, quotes)
        return any(depth[chosen.model] >= depth[model] for model in last if model in depth)
    return match.budget.beyond == "throttle"


def _next_step(match: Match, chosen: Quote, quotes: tuple[Quote, ...]) -> int | None:
    """Spend from which the ladder asks for a model that is further down than *chosen*."""
    depth = _depth(chosen, quotes)
    here = depth[chosen.model]
    for step in match.ladder:
        if isinstance(step, Degrade) and depth.get(step.to, here) > here:
            return match.budget.threshold(step.at)
    return None


def _depth(chosen: Quote, quotes: tuple[Quote, ...]) -> dict[str, tuple[int, int]]:
    """How far down each model is at the length of *chosen*.

    Down is what is cheaper or, at the same price, named later: an order that all ladders share,
    so that a chain over several budgets ends.
    """
    return {
        quote.model: (-quote.amounts.usd, index)
        for index, quote in enumerate(quotes)
        if quote.cut == chosen.cut
    }


def _targets(matched: tuple[Match, ...], policy: Policy) -> Iterable[str]:
    """Models that the ladders degrade to, each once, the first step first."""
    steps = [
        step
        for match in matched
        if match.ladder and policy.enforces(match.budget)
        for step in match.ladder
        if isinstance(step, Degrade)
    ]
    if not steps:
        return ()
    return dict.fromkeys(step.to for step in sorted(steps, key=lambda step: step.at))
