"""What a provider counted for one attempt."""

from dataclasses import fields
from operator import attrgetter

from aden.core.value import value


@value
class Usage:
    """What one attempt used: inclusive totals with subsets, as the providers report them.

    ``None`` means that the provider said nothing; 0 means that it said zero. Durations are whole
    milliseconds, so that sums are exact; `milliseconds` reads them.
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
    cache_write_1h_tokens: int | None = None
    """Subset of the cache writes that the provider keeps for an hour."""
    cached_audio_tokens: int | None = None
    """Subset of the cached tokens and of the audio input."""
    image_input_tokens: int | None = None
    """Subset of the input."""
    cached_image_tokens: int | None = None
    """Subset of the cached tokens and of the image input."""
    image_output_tokens: int | None = None
    """Subset of the output."""
    audio_input_ms: int | None = None
    """Milliseconds of speech that were heard (STT, realtime)."""
    audio_output_ms: int | None = None
    """Milliseconds of speech that were spoken (TTS, realtime)."""
    session_ms: int | None = None
    """Milliseconds that a connection was open, for providers that bill by it."""
    characters: int | None = None
    """Characters of text that were to be spoken (TTS)."""
    images: int | None = None
    """Images that were made."""
    web_searches: int | None = None
    """Searches of the web that the provider made for the answer and bills by the search."""
    file_searches: int | None = None
    """The same of files that it keeps."""

    @property
    def counted(self) -> bool:
        """Whether any total is known; subsets alone are no bill."""
        return self is not NO_USAGE and _totals(self) != _NO_TOTALS

    @property
    def in_tokens(self) -> bool:
        """Whether the bill is in tokens: True unless only another total is known."""
        tokens = (self.input_tokens, self.output_tokens)
        return tokens != (None, None) or not self.counted

    def filled(self, other: "Usage") -> "Usage":
        """This, and what *other* knows besides."""
        if other is NO_USAGE:
            return self
        known = {name: getattr(self, name) for name in COUNTS}
        known |= {name: getattr(other, name) for name in COUNTS if known[name] is None}
        return Usage(estimated=self.estimated or other.estimated, **known)

    @property
    def units(self) -> "Usage":
        """The totals that are no tokens, where they are no guess."""
        if self.estimated or not self.counted:
            return NO_USAGE
        return Usage(**{name: getattr(self, name) for name in TOTALS if "tokens" not in name})

    def __add__(self, other: "Usage") -> "Usage":
        counts = {name: _add(getattr(self, name), getattr(other, name)) for name in COUNTS}
        return Usage(estimated=self.estimated or other.estimated, **counts)


COUNTS = tuple(field.name for field in fields(Usage) if field.name != "estimated")
TOTALS = (
    "input_tokens",
    "output_tokens",
    "audio_input_ms",
    "audio_output_ms",
    "session_ms",
    "characters",
    "images",
)
"""The counts that are no subset of another one, each a bill by itself; searches are none."""
_totals = attrgetter(*TOTALS)
_NO_TOTALS = (None,) * len(TOTALS)
NO_USAGE = Usage()
"""Nobody said anything."""


def _add(left: int | None, right: int | None) -> int | None:
    if left is None:
        return right
    return left if right is None else left + right


MAX_TOKENS = 1_000_000_000
"""A count above this is a provider's mistake, not a bill."""
MAX_SECONDS = 7 * 24 * 3600
"""No connection to a provider lasts longer than a week."""


def token_count(value: object) -> int | None:
    """A count of tokens, characters or images as a provider reported it.

    None where it is missing or absurd. Some servers write whole numbers as 12.0.
    """
    if type(value) is not int:  # which it nearly always is
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
    return value if 0 <= value <= MAX_TOKENS else None


def milliseconds(seconds: object) -> int | None:
    """A duration as a provider reported it, in whole milliseconds.

    None where it is missing or absurd: negative, not finite, longer than a week.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds <= MAX_SECONDS:  # which is not true of NaN
        return None
    return round(seconds * 1000)
