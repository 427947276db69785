"""What a finished call cost: each attempt at the price of the model that it asked."""

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from aden.core.estimate import InputEstimator
from aden.core.limit import Amounts, amounts
from aden.core.money import NanoUSD
from aden.core.usage import Usage
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.pricing import Prices


@dataclass(frozen=True, slots=True)
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


def bill(call: Call, estimator: InputEstimator, prices: Prices) -> Bill:
    """Price what the call used."""
    usages, cost, sources = [], 0, []
    for attempt in call.attempts:
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
        return Bill(Usage(), Amounts(NanoUSD(0), 0, 0), "none")
    usage = reduce(add, usages)
    source = "floor" if "floor" in sources else sources[-1]
    return Bill(usage, amounts(NanoUSD(cost), usage), source)


def reserved_output(call: Call) -> int:
    """Output tokens that were reserved for the model that is sent."""
    return call.quote.output_tokens if call.quote else 0


def _used(attempt: Attempt, call: Call, estimator: InputEstimator, *, in_tokens: bool) -> Usage:
    likely = estimator.likely(call.conversation, attempt.request)
    return attempt.billed(likely, reserved_output(call), in_tokens=in_tokens)
