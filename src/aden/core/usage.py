"""What a provider counted for one attempt."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt: inclusive totals with subsets, as the providers report them.

    ``None`` means that the provider said nothing; 0 means that it said zero.
    """

    input_tokens: int | None = None
    """All input tokens, cached ones included."""
    output_tokens: int | None = None
    """All output tokens, hidden reasoning included."""
    cached_tokens: int | None = None
    """Subset of the input that was read from the provider's cache."""
    cache_write_tokens: int | None = None
    """Subset of the input that was written to the provider's cache."""
    reasoning_tokens: int | None = None
    """Subset of the output that the caller does not see."""
    audio_input_tokens: int | None = None
    """Subset of the input."""
    audio_output_tokens: int | None = None
    """Subset of the output."""
    estimated: bool = False
    """True where any count is ours, because the provider reported none."""

    def __add__(self, other: "Usage") -> "Usage":
        counts = {name: _add(getattr(self, name), getattr(other, name)) for name in COUNTS}
        return Usage(estimated=self.estimated or other.estimated, **counts)


COUNTS = tuple(field.name for field in fields(Usage) if field.name != "estimated")


def _add(left: int | None, right: int | None) -> int | None:
    if left is None:
        return right
    return left if right is None else left + right


MAX_TOKENS = 1_000_000_000
"""A count above this is a provider's mistake, not a bill."""


def token_count(value: object) -> int | None:
    """A count as a provider reported it, or None where it is missing or absurd."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        return None
    return value
