"""Rates of one (provider, model) and the one rule that turns a Usage into money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aden.core.money import NanoUSD
from aden.core.usage import Usage

PER = 1_000_000
"""Rates are integer nano-dollars per this many tokens, so no rate has to be rounded."""

Unit = Literal[
    "input",
    "cached",
    "cache_write",
    "audio_input",
    "cached_audio",
    "output",
    "reasoning",
    "audio_output",
]

_FALLBACK: Mapping[Unit, Unit] = {
    "cached": "input",
    "cache_write": "input",
    "audio_input": "input",
    "cached_audio": "cached",
    "reasoning": "output",
    "audio_output": "output",
}
"""Which rate a subset takes where the provider names none of its own."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A rate that applies to the whole call above *start* input tokens."""

    start: int
    nano_per_million: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-dollars per million tokens, with the long-context steps some providers have."""

    nano_per_million: int
    tiers: tuple[Tier, ...] = ()

    def at(self, input_tokens: int) -> int:
        """The rate for a call with this many input tokens."""
        rate = self.nano_per_million
        for tier in self.tiers:
            if input_tokens > tier.start:
                rate = tier.nano_per_million
        return rate


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. No rate at all is a price of zero, which is a price."""

    rates: Mapping[Unit, Rate] = field(default_factory=dict)
    source: str = "unknown"
    """Where the rates come from: ``genai-prices``, ``floor`` …"""
    context_tokens: int | None = None
    """Most input tokens that the model takes, where known."""

    def cost(self, usage: Usage) -> NanoUSD:
        """Nano-dollars of *usage*, rounded up once.

        Subsets are taken out of the inclusive totals, so nothing is counted twice.
        """
        total = usage.input_tokens or 0
        nano_millions = sum(
            count * self._rate(unit).at(total) for unit, count in _leaves(usage).items()
        )
        return NanoUSD(-(-nano_millions // PER))

    def _rate(self, unit: Unit) -> Rate:
        while (rate := self.rates.get(unit)) is None:
            if unit not in _FALLBACK:
                return _FREE
            unit = _FALLBACK[unit]
        return rate


_FREE = Rate(0)


def _leaves(usage: Usage) -> dict[Unit, int]:
    """Disjoint counts; a subset never takes more than what is left of its total."""
    left = usage.input_tokens or 0
    cached = min(usage.cached_tokens or 0, left)
    left -= cached
    written = min(usage.cache_write_tokens or 0, left)
    left -= written
    audio_input = min(usage.audio_input_tokens or 0, left)
    output = usage.output_tokens or 0
    reasoning = min(usage.reasoning_tokens or 0, output)
    audio_output = min(usage.audio_output_tokens or 0, output - reasoning)
    return {
        "input": left - audio_input,
        "cached": cached,
        "cache_write": written,
        "audio_input": audio_input,
        "output": output - reasoning - audio_output,
        "reasoning": reasoning,
        "audio_output": audio_output,
    }
