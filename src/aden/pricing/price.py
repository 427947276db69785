"""Rates of one (provider, model) and the one rule that turns a Usage into money."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from itertools import compress
from operator import attrgetter, mul
from typing import Literal, get_args

from aden.core.money import NANO, NanoUSD
from aden.core.usage import MAX_TOKENS, Usage

PER = 18_000_000
"""Rates are whole nano-dollars for this many of a unit: a multiple of a million (tokens) and of an
hour's milliseconds, so that no rate that a provider publishes has to be rounded."""

Unit = Literal[
    "input",
    "cached",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "cached_audio",
    "image_input",
    "cached_image",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "speech",
    "speech_input",
    "speech_output",
    "session",
    "characters",
    "images",
    "web_searches",
    "file_searches",
    "requests",
]
"""Tokens up to ``image_output``, milliseconds up to ``session``."""
UNITS: tuple[Unit, ...] = get_args(Unit)
TOKENS = UNITS[: UNITS.index("speech")]
DURATIONS = UNITS[UNITS.index("speech") : UNITS.index("characters")]

_FALLBACK: Mapping[Unit, Unit] = {
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "cached_audio": "cached",
    "image_input": "input",
    "cached_image": "cached",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
    "speech_input": "speech",
    "speech_output": "speech",
}
"""Which rate a subset takes where the provider names none of its own."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A rate that applies to the whole call above *start* input tokens."""

    start: int
    nano: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-dollars for `PER` of a unit, with the long-context steps some providers have."""

    nano: int
    tiers: tuple[Tier, ...] = ()

    def at(self, input_tokens: int) -> int:
        """The rate for a call with this many input tokens."""
        rate = self.nano
        for tier in self.tiers:
            if input_tokens > tier.start:
                rate = tier.nano
        return rate

    def times(self, factor: Decimal) -> "Rate":
        """Each step multiplied, rounded up."""
        steps = tuple(Tier(tier.start, _ceil(tier.nano * factor)) for tier in self.tiers)
        return Rate(_ceil(self.nano * factor), steps)

    def dearest(self, input_tokens: int) -> int:
        """The highest rate of a call with at most this many input tokens."""
        steps = [tier.nano for tier in self.tiers if input_tokens > tier.start]
        return max(self.nano, *steps) if steps else self.nano


def nano_per(usd: Decimal, count: int) -> int:
    """*usd* for *count* of a unit as a `Rate` keeps it, rounded up where it is no whole number."""
    return _ceil(usd * NANO * PER / count)


def _ceil(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


_FREE = Rate(0)
_READ: tuple[Unit, ...] = (
    "input",
    "cached",
    "cache_write",
    "cache_write_1h",
    "image_input",
    "cached_image",
)
_HEARD: tuple[Unit, ...] = ("audio_input", "cached_audio")
_WRITTEN: tuple[Unit, ...] = ("output", "reasoning", "image_output")
_SPOKEN: tuple[Unit, ...] = ("audio_output",)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a price was found; for `aden prices`, not for deciding."""

    model: str = ""
    """The name under which it was found, after the provider's."""
    matched: str = ""
    """``exact``, ``dated snapshot`` …"""
    url: str | None = None
    as_of: date | None = None
    tier: str | None = None
    """The service tier whose rates these are; None: the provider's standard one."""
    multiplier: Decimal | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. No rate at all is a price of zero, which is a price."""

    rates: Mapping[Unit, Rate] = field(default_factory=dict)
    source: str = "unknown"
    """Where the rates come from: ``user | overlay | genai-prices | bridge | floor | override``."""
    context_tokens: int | None = None
    """Most input tokens that the model takes, where known."""
    origin: Origin = Origin()
    least_ms: int = 0
    """Milliseconds for which a request with speech is billed at least."""
    bridges: "tuple[Price, ...]" = ()
    """The same price for other units than the provider bills by, the most exact first."""
    _flat: Mapping[Unit, Rate] = field(init=False, repr=False, compare=False)
    """The rate of each unit, with every fallback resolved."""

    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Input tokens above which some rate is another one, the fewest first."""
    _nano: tuple[Mapping[Unit, int], ...] = field(init=False, repr=False, compare=False)
    """The flat rates in nano-dollars: up to the first start, above it, above the second …"""

    def __post_init__(self) -> None:
        flat = {unit: self._resolve(unit) for unit in UNITS}
        starts = sorted({tier.start for rate in flat.values() for tier in rate.tiers})
        nano = [
            {unit: rate.at(start + 1) for unit, rate in flat.items()} for start in (-1, *starts)
        ]
        object.__setattr__(self, "_flat", flat)
        object.__setattr__(self, "_starts", tuple(starts))
        object.__setattr__(self, "_nano", tuple(nano))

    def cost(self, usage: Usage) -> NanoUSD:
        """Nano-dollars of *usage*, rounded up once.

        Subsets are taken out of the inclusive totals, so nothing is counted twice.
        """
        parts = _parts(usage)
        nano_of = self._nano[bisect_left(self._starts, usage.input_tokens or 0)]
        request = self._flat["requests"].nano
        nano = request if request and usage.counted else 0
        nano += sum(map(mul, parts.values(), map(nano_of.__getitem__, parts)))
        if usage.audio_input_ms and usage.audio_input_ms < self.least_ms:
            nano += (self.least_ms - usage.audio_input_ms) * self.rate("speech_input").nano
        return NanoUSD(-(-nano // PER))

    def most(self, input_tokens: int, output_tokens: int, *, speech: bool = False) -> NanoUSD:
        """Nano-dollars that no usage within these totals exceeds, whatever its subsets are.

        Args:
            input_tokens: All input tokens, at most.
            output_tokens: All output tokens, at most.
            speech: Whether some of them may be audio.
        """
        heard, spoken = _HEARD if speech else (), _SPOKEN if speech else ()
        nano = self._flat["requests"].nano
        nano += input_tokens * self._dearest((*_READ, *heard), input_tokens)
        nano += output_tokens * self._dearest((*_WRITTEN, *spoken), input_tokens)
        return NanoUSD(-(-nano // PER))

    def _dearest(self, units: tuple[Unit, ...], input_tokens: int) -> int:
        return max(self._flat[unit].dearest(input_tokens) for unit in units)

    def covers(self, usage: Usage) -> bool:
        """Whether this is a price for what was used.

        False where the model costs something, something was used, and none of that has a rate: a
        model priced by the token of which only the seconds are known. Zero would not be true then.
        """
        if (usage.output_tokens and "output" in self.rates) or (
            usage.input_tokens and "input" in self.rates
        ):
            return True  # as nearly always
        if "requests" in self.rates or self._is_free:
            return True
        used = [unit for unit, count in _parts(usage).items() if count]
        return not used or any(self._flat[unit] is not _FREE for unit in used)

    @property
    def is_said_free(self) -> bool:
        """Whether the user says that nothing costs, whatever is used."""
        return self.source in ("user", "override") and self._is_free

    @property
    def _is_free(self) -> bool:
        return not any(rate.dearest(MAX_TOKENS) for rate in self.rates.values())

    def fitting(self, usage: Usage) -> "Price | None":
        """This price, or what stands in for it where only other units are known; else None."""
        if self.covers(usage):
            return self
        return next((bridge for bridge in self.bridges if bridge.covers(usage)), None)

    def times(self, factor: Decimal) -> "Price":
        """The same at a discount, or dearer."""
        return replace(
            self,
            rates={unit: rate.times(factor) for unit, rate in self.rates.items()},
            origin=replace(self.origin, multiplier=factor),
            bridges=tuple(bridge.times(factor) for bridge in self.bridges),
        )

    def rate(self, unit: Unit) -> Rate:
        """The rate of a unit, its own or the one that it falls back on."""
        return self._flat[unit]

    @property
    def in_tokens(self) -> bool:
        """Whether it is by the token. A floor has rates for all units, so it need not be."""
        return self.source != "floor" and any(unit in self.rates for unit in TOKENS)

    def _resolve(self, unit: Unit) -> Rate:
        while (rate := self.rates.get(unit)) is None:
            if unit not in _FALLBACK:
                return _FREE
            unit = _FALLBACK[unit]
        return rate


_PARTS: Mapping[str, tuple[Unit, Unit | None, Unit | None]] = {
    "input_tokens": ("input", None, None),
    "cached_tokens": ("cached", "input", None),
    "cached_audio_tokens": ("cached_audio", "cached", None),
    "cached_image_tokens": ("cached_image", "cached", None),
    "cache_write_tokens": ("cache_write", "input", None),
    "cache_write_1h_tokens": ("cache_write_1h", "cache_write", None),
    "audio_input_tokens": ("audio_input", "input", "cached_audio"),
    "image_input_tokens": ("image_input", "input", "cached_image"),
    "output_tokens": ("output", None, None),
    "reasoning_tokens": ("reasoning", "output", None),
    "audio_output_tokens": ("audio_output", "output", None),
    "image_output_tokens": ("image_output", "output", None),
    "audio_input_ms": ("speech_input", None, None),
    "audio_output_ms": ("speech_output", None, None),
    "session_ms": ("session", None, None),
    "characters": ("characters", None, None),
    "images": ("images", None, None),
    "web_searches": ("web_searches", None, None),
    "file_searches": ("file_searches", None, None),
}
"""Of each count of a `Usage` the unit by which it is billed, the unit of the total that it is taken
out of, and the unit that has taken a part of it before. A total stands before its subsets."""
_counts = attrgetter(*_PARTS)


def _parts(usage: Usage) -> dict[Unit, int]:
    """Disjoint counts; a subset never takes more than is left of its total."""
    parts: dict[Unit, int] = {}
    counts = _counts(usage)
    for (unit, total, had), count in zip(
        compress(_PARTS.values(), counts), filter(None, counts), strict=True
    ):
        part = count
        if had in parts:
            part = max(0, part - parts[had])
        if total is not None:
            left = parts.get(total, 0)
            part = min(part, left)
            parts[total] = left - part
        parts[unit] = part
    return parts
