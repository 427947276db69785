"""Which fields of a provider's usage are which counts of ours, on every endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aden.core.usage import Usage, token_count
from aden.instrumentation.told import fields


@dataclass(frozen=True, slots=True)
class Spelling:
    """How an API calls the totals, and where it has their subsets."""

    read: str
    written: str
    of_read: str
    of_written: str


COMPLETIONS = Spelling(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSES = Spelling(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)
"""Of images and speech too."""
REALTIME = Spelling("input_tokens", "output_tokens", "input_token_details", "output_token_details")
"""Of transcripts too."""

_OF_READ = (
    ("cached_tokens", "cached_tokens"),
    ("cache_write_tokens", "cache_write_tokens"),
    ("audio_tokens", "audio_input_tokens"),
    ("image_tokens", "image_input_tokens"),
)
_OF_WRITTEN = (
    ("reasoning_tokens", "reasoning_tokens"),
    ("audio_tokens", "audio_output_tokens"),
    ("image_tokens", "image_output_tokens"),
)
_OF_CACHED = (
    ("audio_tokens", "cached_audio_tokens"),
    ("image_tokens", "cached_image_tokens"),
)


def counted(usage: Any, spelling: Spelling) -> Usage:
    """A usage object, or its JSON, as counts; what is missing or absurd is None."""
    told = fields(usage)
    counts: dict[str, int | None] = {
        "input_tokens": token_count(told.get(spelling.read)),
        "output_tokens": token_count(told.get(spelling.written)),
    }
    if (read := told.get(spelling.of_read)) is not None:
        details = fields(read)
        _subsets(counts, details, _OF_READ)
        if (cached := details.get("cached_tokens_details")) is not None:
            _subsets(counts, fields(cached), _OF_CACHED)
    if (written := told.get(spelling.of_written)) is not None:
        _subsets(counts, fields(written), _OF_WRITTEN)
    return Usage(**counts)  # type: ignore[arg-type]


def _subsets(
    counts: dict[str, int | None], details: Mapping[str, Any], names: tuple[tuple[str, str], ...]
) -> None:
    for theirs, ours in names:
        if (count := details.get(theirs)) is not None:
            counts[ours] = token_count(count)
