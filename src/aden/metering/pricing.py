"""What a finished call cost: each attempt at the price of the model that it asked."""

from collections.abc import Sequence
from dataclasses import replace

from aden.core.estimate import InputEstimator
from aden.core.limit import Amounts
from aden.core.money import NanoUSD
from aden.core.request import Request
from aden.core.usage import NO_USAGE, Usage
from aden.core.value import value
from aden.metering.attempt import Attempt, Drawn
from aden.metering.call import Call
from aden.pricing import Prices


@value
class Bill:
    """The sum over a call's attempts."""

    amounts: Amounts
    source: str
    """Where the prices came from; ``none`` where nothing was sent."""


def bill(
    call: Call,
    estimator: InputEstimator,
    prices: Prices,
    attempts: Sequence[Attempt] | None = None,
) -> Bill:
    """Price what the call used; with *attempts*, what these of it did."""
    usage, cost, source = NO_USAGE, 0, "none"
    for attempt in call.attempts if attempts is None else attempts:
        sent, known = attempt.request, call.prices or prices
        used = attempt.told or _estimated(attempt, call, estimator, known)
        # A stored prompt names its model itself, and only the answer tells it.
        model = sent.model or attempt.response_model or ""
        told = attempt.outcome == "reported"
        price = known.price(sent, model, used, attempt.service_tier, told=told)
        if price.source == "bridge":
            used = replace(used, estimated=True)
        cost += price.cost(used)
        if attempt.drawn is not None:
            cost += _cost_of_images(attempt.drawn, sent, known)
        usage = used if source == "none" else usage + used
        source = source if source == "floor" else price.source
    requests = 0 if source == "none" else 1  # however often it is sent
    return Bill(Amounts(NanoUSD(cost), usage, requests), source)


def _cost_of_images(drawn: Drawn, sent: Request, known: Prices) -> NanoUSD:
    """By their tokens; by the image where nobody knows their model's price."""
    price = known.price(sent.to(drawn.model), drawn.model, drawn.usage, told=True)
    unknown = price.source == "floor"
    return price.cost(Usage(images=drawn.usage.images) if unknown else drawn.usage)


def _estimated(attempt: Attempt, call: Call, estimator: InputEstimator, known: Prices) -> Usage:
    quote, request = call.quote, attempt.request
    in_tokens = not request.carries.counted or known.price(request, request.model).in_tokens
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
