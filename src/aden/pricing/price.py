"""Rates of one (provider, model) and the one rule that turns a Usage into money."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal
from operator import attrgetter
from typing import Literal, get_args

from aden.core.money import NANO, NanoUSD
from aden.core.usage import Usage

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "_flat", {unit: self._resolve(unit) for unit in UNITS})

    def cost(self, usage: Usage) -> NanoUSD:
        """Nano-dollars of *usage*, rounded up once.

        Subsets are taken out of the inclusive totals, so nothing is counted twice.
        """
        flat = self._flat
        request = flat["requests"].nano
        nano = request if request and usage.counted else 0
        for unit, count in _leaves(usage):
            rate = flat[unit]
            nano += count * (rate.at(usage.input_tokens or 0) if rate.tiers else rate.nano)
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
        if "requests" in self.rates or not any(rate.nano for rate in self.rates.values()):
            return True
        used = _leaves(usage)
        return not used or any(self._flat[unit] is not _FREE for unit, _ in used)

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


def _leaves(usage: Usage) -> list[tuple[Unit, int]]:
    """Disjoint counts, none of them zero; a subset never takes more than is left of its total."""
    found: list[tuple[Unit, int]] = []
    if usage.input_tokens:
        _add_input(found, usage, usage.input_tokens)
    if usage.output_tokens:
        _add_output(found, usage, usage.output_tokens)
    counts = _others(usage)
    if any(counts):
        found += [
            (unit, count) for unit, count in zip(_OTHERS.values(), counts, strict=True) if count
        ]
    return found


_OTHERS: Mapping[str, Unit] = {
    "audio_input_ms": "speech_input",
    "audio_output_ms": "speech_output",
    "session_ms": "session",
    "characters": "characters",
    "images": "images",
    "web_searches": "web_searches",
    "file_searches": "file_searches",
}
"""What is no token: the count of a `Usage`, and the unit by which it is billed."""
_others = attrgetter(*_OTHERS)


def _add_input(found: list[tuple[Unit, int]], usage: Usage, left: int) -> None:
    audio, image = usage.audio_input_tokens or 0, usage.image_input_tokens or 0
    if usage.cached_tokens:
        cached_audio, cached_image = usage.cached_audio_tokens or 0, usage.cached_image_tokens or 0
        audio, image = max(0, audio - cached_audio), max(0, image - cached_image)
        cached = min(usage.cached_tokens, left)
        left -= cached
        _add(
            found, cached, "cached", ("cached_audio", cached_audio), ("cached_image", cached_image)
        )
    if usage.cache_write_tokens:
        written = min(usage.cache_write_tokens, left)
        left -= written
        _add(found, written, "cache_write", ("cache_write_1h", usage.cache_write_1h_tokens))
    _add(found, left, "input", ("audio_input", audio), ("image_input", image))


def _add_output(found: list[tuple[Unit, int]], usage: Usage, left: int) -> None:
    _add(
        found,
        left,
        "output",
        ("reasoning", usage.reasoning_tokens),
        ("audio_output", usage.audio_output_tokens),
        ("image_output", usage.image_output_tokens),
    )


def _add(
    found: list[tuple[Unit, int]], left: int, rest: Unit, *subsets: tuple[Unit, int | None]
) -> None:
    """Add a total of *left* as its subsets and the rest of it."""
    for unit, count in subsets:
        if count and left:
            part = min(count, left)
            left -= part
            found.append((unit, part))
    if left:
        found.append((rest, left))
