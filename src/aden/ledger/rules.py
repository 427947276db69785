"""What fits: the one rule by which a ledger grants or refuses."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from aden.ledger.protocol import Ask, Balance, Line

BUSY_RETRY_MS = 250
"""A refund is due when some open call ends; nobody knows when, so ask again soon."""


class Verdict(NamedTuple):
    """Either the granted option, or why none is."""

    option: int | None
    reason: Literal["exhausted", "busy"] = "exhausted"
    budget: str = ""


def choose(ask: Ask, balances: Mapping[str, Balance]) -> Verdict:
    """The first option whose lines all fit.

    An option fits when every enforced line that costs anything has ``spent + held + amount ≤
    limit`` and ``spent < below``. Where one would fit if all holds were refunded, the refusal is
    ``busy``.
    """
    refusal: Verdict | None = None
    for index, option in enumerate(ask.options):
        blocking = [line for line in option.lines if not _fits(line, balances[line.budget])]
        if not blocking:
            return Verdict(index)
        hard = [line for line in blocking if not _fits_refunded(line, balances[line.budget])]
        verdict = Verdict(None, "exhausted" if hard else "busy", (hard or blocking)[0].budget)
        if refusal is None or refusal.reason == "exhausted":
            refusal = verdict
    assert refusal is not None, "an Ask has at least one option"
    return refusal


def _fits(line: Line, balance: Balance) -> bool:
    return _is_free(line) or (
        _on_step(line, balance) and balance.spent + balance.held + line.amount <= line.limit
    )


def _fits_refunded(line: Line, balance: Balance) -> bool:
    return _is_free(line) or (_on_step(line, balance) and balance.spent + line.amount <= line.limit)


def _is_free(line: Line) -> bool:
    """What costs nothing fits an exhausted budget; what is only observed fits anything."""
    return line.amount == 0 or not line.enforce


def _on_step(line: Line, balance: Balance) -> bool:
    return line.below is None or balance.spent < line.below


def retry_after_ms(verdict: Verdict, balance: Balance, now: float) -> int | None:
    """Milliseconds until the refusal may change: a refund, or the window's end."""
    if verdict.reason == "busy":
        return BUSY_RETRY_MS
    if balance.ends_at is None:
        return None
    return max(0, round((balance.ends_at - now) * 1000))


def percentile_of(histogram: Mapping[int, int], quantile: float = 0.95) -> int | None:
    """The upper edge of the bucket in which *quantile* of the counts lie; None under 8 counts."""
    total = sum(histogram.values())
    if total < 8:
        return None
    seen = 0
    for edge in sorted(histogram):
        seen += histogram[edge]
        if seen >= quantile * total:
            return edge
    return max(histogram)


def output_bucket(tokens: int) -> int:
    """Upper edge of the bucket for an output length: eight buckets an octave, never under 16."""
    if tokens <= 16:
        return 16
    step = 1 << max(0, tokens.bit_length() - 4)
    return -(-tokens // step) * step
