"""What a finished call cost: each attempt at the price of the model that it asked."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from aden.core.estimate import InputEstimator
from aden.core.limit import Amounts, amounts
from aden.core.money import NanoUSD
from aden.core.usage import NO_USAGE, Usage
from aden.core.value import value
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.pricing import Prices


@value
class Bill:
    """The sum over a call's attempts."""

    usage: Usage
    amounts: Amounts
    source: str
    """Where the prices came from; ``none`` where nothing was sent."""

    @property
    def cost(self) -> NanoUSD:
        """Nano-dollars."""
        return self.amounts.usd


def bill(
    call: Call,
    estimator: InputEstimator,
    prices: Prices,
    attempts: Sequence[Attempt] | None = None,
) -> Bill:
    """Price what the call used; with *attempts*, what these of it did."""
    usages, cost, sources = [], 0, []
    for attempt in call.attempts if attempts is None else attempts:
        sent, known = attempt.request, call.prices or prices
        in_tokens = not sent.carries.counted or known.price(sent, sent.model).in_tokens
        used = _used(attempt, call, estimator, in_tokens=in_tokens)
        price = known.price(
            sent, sent.model, used, attempt.service_tier, told=attempt.outcome == "reported"
        )
        if price.source == "bridge":
            used = replace(used, estimated=True)
        usages.append(used)
        cost += price.cost(used)
        sources.append(price.source)
    if not sources:
        return Bill(NO_USAGE, Amounts(NanoUSD(0), 0, 0), "none")
    usage = reduce(add, usages)
    source = "floor" if "floor" in sources else sources[-1]
    return Bill(usage, amounts(NanoUSD(cost), usage), source)


def _used(attempt: Attempt, call: Call, estimator: InputEstimator, *, in_tokens: bool) -> Usage:
    if (told := attempt.told) is not None:
        return told
    quote, request = call.quote, attempt.request
    if quote is not None and quote.bound is not None:  # a guess might be less than the bill
        most = quote.bound.output_tokens
        cap = None if quote.cut.sliced else most
        return attempt.billed(quote.bound.input_tokens, most, cap, in_tokens=in_tokens)
    cap = request.max_output_tokens
    return attempt.billed(
        estimator.likely(call.conversation, request),
        quote.output_tokens if quote else 0,
        None if cap is None else cap * request.choices,
        likely_cached=estimator.likely_cached(call.conversation, request, attempt.sent_at),
        in_tokens=in_tokens,
    )
