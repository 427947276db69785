"""What fits: the one rule by which a ledger grants or refuses."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from aden.core.limit import MAX_COUNT
from aden.core.window import slice_of
from aden.ledger.journal import DAY_S
from aden.ledger.protocol import Ask, Balance, Line

BUSY_RETRY_MS = 250
"""A refund is due when some open call ends; nobody knows when, so ask again soon."""

RETAIN_S = DAY_S
"""How long a settled operation is remembered, so that repeats change nothing."""
UNCONFIRMED_S = 35 * DAY_S
"""How long an unconfirmed one is, so that it can still be corrected."""
KEEP_S = 66 * DAY_S
"""How long a window is kept after it was last used: a month at least 35 days beyond its end."""


class Verdict(NamedTuple):
    """Either the granted option, or why none is."""

    option: int | None
    reason: Literal["exhausted", "busy", "policy"] = "exhausted"
    budget: str = ""


def choose(ask: Ask, balances: Mapping[str, Balance]) -> Verdict:
    """The first option whose lines all fit.

    An option fits when every enforced line that costs anything has ``spent + held + amount ≤
    limit`` and ``spent < below``, and its budget is not frozen. Where one would fit if all holds
    were refunded, the refusal is ``busy``.
    """
    refusal: Verdict | None = None
    for index, option in enumerate(ask.options):
        verdict = _obstacle(option.lines, balances)
        if verdict is None:
            return Verdict(index)
        if refusal is None or refusal.reason != "busy":
            refusal = verdict
    assert refusal is not None, "an Ask has at least one option"
    return refusal


def _obstacle(lines: tuple[Line, ...], balances: Mapping[str, Balance]) -> Verdict | None:
    """Why an option does not fit, and the budget in the way; None where it fits."""
    blocking = [
        line
        for line in lines
        # What costs nothing fits an exhausted budget; what is only observed fits anything.
        if line.amount and line.enforce and not _fits(line, balances[line.budget], refunded=False)
    ]
    if not blocking:
        return None
    for line in blocking:
        if balances[line.budget].frozen:
            return Verdict(None, "policy", line.budget)
    hard = [line for line in blocking if not _fits(line, balances[line.budget], refunded=True)]
    if hard:
        return Verdict(None, "exhausted", hard[0].budget)
    return Verdict(None, "busy", blocking[0].budget)


def _fits(line: Line, balance: Balance, *, refunded: bool) -> bool:
    if balance.frozen:
        return False
    spent = balance.settled + balance.unconfirmed
    if line.below is not None:
        below = step_below(line, balance)
        if below is not None and spent >= below:
            return False
    as_usual = balance.raised is None and not line.soft
    most = line.limit if as_usual else ceiling(line, balance)
    return spent + (0 if refunded else balance.held) + line.amount <= most


def ceiling(line: Line, balance: Balance) -> int:
    """What a budget bears for a line: its limit in force, or what a ledger can count."""
    return MAX_COUNT if line.soft else balance.limit(line.limit)


def short_of(line: Line, balance: Balance) -> Literal["exhausted", "busy"] | None:
    """Why a budget does not bear what a line holds, its ladder aside; None where it does."""
    if not line.enforce or balance.spent + balance.held + line.amount <= ceiling(line, balance):
        return None
    return "exhausted" if balance.spent + line.amount > ceiling(line, balance) else "busy"


def step_below(line: Line, balance: Balance) -> int | None:
    """The spend at which the ladder's next step begins: the same share of a raised limit."""
    if line.below is None:
        return None
    limit = balance.limit(line.limit)
    if limit == line.limit:
        return line.below
    return -(-line.below * limit // line.limit) if line.limit else None


def retry_after_ms(verdict: Verdict, balance: Balance, now: float) -> int | None:
    """Milliseconds until the refusal may change: a refund, or the window's end; None: unknown."""
    if verdict.reason == "busy":
        return BUSY_RETRY_MS
    if balance.ends_at is None or verdict.reason == "policy":
        return None
    return max(0, round((balance.ends_at - now) * 1000))


def percentile_of(histogram: Mapping[int, int]) -> int | None:
    """The upper edge below which 95 % of the counts lie; None under 8 counts."""
    total = sum(histogram.values())
    if total < 8:
        return None
    seen = 0
    for edge in sorted(histogram):
        seen += histogram[edge]
        if seen >= 0.95 * total:
            return edge
    return max(histogram)


OUTPUTS_HALVED_AT = 64
"""How often one output length of a model is seen before all its counts are halved.

So old answers fade: when answers become longer, a few dozen of them are believed, whatever was seen
in the months before.
"""


def output_bucket(tokens: int) -> int:
    """Upper edge of the bucket for an output length: eight buckets an octave, never under 16."""
    if tokens <= 16:
        return 16
    step = 1 << max(0, tokens.bit_length() - 4)
    return -(-tokens // step) * step


def forget_at(window_id: str, now: float, *, unconfirmed: bool = False) -> float | None:
    """The unix second from which what was booked in a window now is kept no more; None: never.

    In whole days, so that it need not be noted again with every call.
    """
    if window_id == "total":
        return None
    part = slice_of(window_id)
    if part is None or unconfirmed:
        return (math.floor((now + KEEP_S) / DAY_S) + 1) * DAY_S
    rolling, start = part
    return float(start + rolling.width + 2 * rolling.seconds)


def alert_key(window_id: str) -> tuple[str, float | None]:
    """The window that an alert is raised in, and after how many seconds it may be raised again.

    A rolling window has no end that would arm it, so it is its own length; None: never.
    """
    part = slice_of(window_id)
    return (part[0].series, float(part[0].seconds)) if part else (window_id, None)


def alert_id(budget: str, window_id: str, threshold: int, epoch: int) -> str:
    """What names an alert, over all processes."""
    armed_again = f":{epoch}" if epoch else ""
    return f"{budget}:{window_id}:{threshold}{armed_again}"
