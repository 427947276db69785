"""What a finished call cost: each attempt at the price of the model that it asked."""

from dataclasses import dataclass

from aden.budgets.plan import price_of
from aden.core.estimate import InputEstimator
from aden.core.money import NanoUSD
from aden.core.usage import Usage
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.pricing import PriceBook


@dataclass(frozen=True, slots=True)
class Bill:
    """The sum over a call's attempts."""

    usage: Usage
    cost: NanoUSD
    source: str
    """Where the prices came from; ``none`` where nothing was sent."""


def bill(call: Call, estimator: InputEstimator, prices: PriceBook) -> Bill:
    """Price what the call used."""
    usage, cost, source = Usage(), 0, "none"
    for attempt in call.attempts:
        used = _used(attempt, call, estimator)
        price = price_of(attempt.request.provider, attempt.request.model, prices)
        usage, cost, source = usage + used, cost + price.cost(used), price.source
    return Bill(usage, NanoUSD(cost), source)


def reserved_output(call: Call) -> int:
    """Output tokens that were reserved for the model that is sent."""
    return call.quote.output_tokens if call.quote else 0


def _used(attempt: Attempt, call: Call, estimator: InputEstimator) -> Usage:
    exact = [
        sibling.usage.input_tokens
        for sibling in call.attempts
        if sibling.request == attempt.request and sibling.usage.input_tokens is not None
    ]
    likely = exact[0] if exact else estimator.likely(call.conversation, attempt.request)
    return attempt.billed(likely, reserved_output(call))
