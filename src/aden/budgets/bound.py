"""``overrun="never"``: what a request can cost at most, and the caps that make that less."""

import re
from dataclasses import dataclass

from aden.core.limit import Amounts
from aden.core.request import Request
from aden.core.usage import Usage
from aden.pricing import Price

FIRST_CAP_TOKENS = 4096
"""Written into a request that sets no cap of its own: every chat model answers as much."""
FIRST_REASONING_CAP_TOKENS = 16_384
LEAST_CAP_TOKENS = 64
"""A shorter answer is of no use. The Responses API takes no less than 16."""
LEAST_REASONING_CAP_TOKENS = 1024
"""Less is spent on thinking, and the answer is empty."""
SLICE_TOKENS = 256
"""By so much the hold of a stream that takes no cap is ahead of what it has generated."""

# Most tokens of one image: https://platform.openai.com/docs/guides/images-vision. Tiles: at most
# 8 of 512 px (768 x 2048 px); patches: at most 1,536, by the model's factor.
_IMAGE_TOKENS = (
    (r"gpt-4o-mini", 2833 + 8 * 5667),
    (r"gpt-4\.1-mini", 2489),
    (r"gpt-4\.1-nano", 3779),
    (r"o4-mini", 2642),
    (r"gpt-4\.1|gpt-4o|gpt-4-turbo|chatgpt-4o|o1|o3", 1536),
)


@dataclass(frozen=True, slots=True)
class Cut:
    """How much one choice may generate, and who sees to it."""

    tokens: int | None = None
    """None: what the request itself says, else what the model's context window holds."""
    sliced: bool = False
    """False: the provider, by a cap in the request. True: we do, by ending the stream."""

    @property
    def cap(self) -> int | None:
        """What is written into the request; None where it stays as it is."""
        return None if self.sliced else self.tokens


AS_ASKED = Cut()
UNANSWERED = Cut(0)
"""Nothing: what a request costs by being read."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one sending can use at most."""

    input_tokens: int
    output_tokens: int
    """Of all choices."""
    amounts: Amounts


def cuts(request: Request) -> tuple[Cut, ...]:
    """The lengths at which a request may be sent, the longest first.

    Each is half of the one before, so that a few of them reach from what was asked for down to
    the shortest answer that is of use.
    """
    thinks = request.hidden_output
    own = request.max_output_tokens
    if not request.takes_cap:
        ends = own is None and request.can_be_ended and not thinks
        return (Cut(SLICE_TOKENS, sliced=True) if ends else AS_ASKED,)
    least = LEAST_REASONING_CAP_TOKENS if thinks else LEAST_CAP_TOKENS
    first = own or (FIRST_REASONING_CAP_TOKENS if thinks else FIRST_CAP_TOKENS)
    found = [AS_ASKED if own else Cut(first)]
    while first > least:
        first = max(least, first // 2)
        found.append(Cut(first))
    return tuple(found)


def bound(request: Request, model: str, price: Price, cut: Cut) -> Bound | None:
    """What *request* can use at most if it goes to *model*; None where nothing bounds it."""
    window = price.context_tokens
    prompt = _most_input(request, model)
    if request.boundless or request.unlisted:
        return None
    if request.carries.counted:  # of what is billed in tokens as well, nothing is known before
        known = request.carries
        exact = not (price.in_tokens or known.estimated)
        return Bound(0, 0, Amounts(price.cost(known), known)) if exact else None
    if prompt is None and window is None:
        return None
    most_input = min(each for each in (prompt, window) if each is not None)
    output = cut.tokens if cut.tokens is not None else request.max_output_tokens
    if output is None:
        output = window
    if output is None:
        return None
    most_output = output * request.choices
    cost = price.most(most_input, most_output, speech=request.speech)
    return Bound(most_input, most_output, Amounts(cost, Usage(most_input, most_output)))


def _most_input(request: Request, model: str) -> int | None:
    if request.most_text_tokens is None:
        return None
    if not request.images:
        return request.most_text_tokens
    name = model.rpartition("/")[2]
    for pattern, tokens in _IMAGE_TOKENS:
        if re.match(pattern, name):
            return request.most_text_tokens + request.images * tokens
    return None
