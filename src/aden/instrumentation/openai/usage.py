"""Which fields of a provider's usage are which counts of ours, on every endpoint."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aden.core.usage import Usage, token_count
from aden.instrumentation.told import NOTHING, fields
from aden.metering.attempt import Attempt

MAX_SHOWN = 60
"""Characters of a value that are shown; it comes from outside."""

_TOTAL = "total_tokens"
Names = dict[str, Any]
"""Names of theirs → ours, or the names of what is nested there."""
_OF_READ: Names = {
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_tokens": "audio_input_tokens",
    "image_tokens": "image_input_tokens",
    "cached_tokens_details": {
        "audio_tokens": "cached_audio_tokens",
        "image_tokens": "cached_image_tokens",
    },
}
_OF_WRITTEN: Names = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_tokens": "audio_output_tokens",
    "image_tokens": "image_output_tokens",
}


@dataclass(frozen=True)
class Spelling:
    """How an API calls the totals, and where it has their subsets."""

    read: str
    written: str
    of_read: str
    of_written: str

    @cached_property
    def names(self) -> Names:
        """Where each count stands."""
        return {
            self.read: "input_tokens",
            self.written: "output_tokens",
            _TOTAL: _TOTAL,
            # Beside the totals: of Kimi and of DeepSeek.
            "cached_tokens": "cached_tokens",
            "prompt_cache_hit_tokens": "cached_tokens",
            self.of_read: _OF_READ,
            self.of_written: _OF_WRITTEN,
        }


COMPLETIONS = Spelling(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSES = Spelling(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)
"""Of images and speech too."""
REALTIME = Spelling("input_tokens", "output_tokens", "input_token_details", "output_token_details")
"""Of transcripts too."""


def counted(usage: Any, spelling: Spelling) -> tuple[Usage, str | None]:
    """A usage object, or its JSON, as counts; and what in it cannot be true.

    Returns:
        The counts, of which what is missing or absurd is None; and name and value of the first
        count, of ours or not, that is none.
    """
    counts: dict[str, Any] = {}
    doubt = None if usage is None else _count(usage, spelling.names, "usage", counts)
    if (total := counts.pop(_TOTAL, None)) is not None:
        _include_thoughts(counts, total)
    return Usage(**counts), doubt


def note_usage(attempt: Attempt, usage: Any, spelling: Spelling) -> None:
    """Note what a usage object, or its JSON, counts; None where there is none."""
    if usage is None:
        return
    told, attempt.doubt = counted(usage, spelling)
    attempt.saw_usage(told)


def _include_thoughts(counts: dict[str, Any], total: int) -> None:
    """Add to the output what is thought beside it, and billed as output.

    xAI tells of thoughts apart from the output, Gemini in the total alone
    (https://docs.x.ai/docs/key-information/consumption-and-rate-limits: "counted separately from
    completion_tokens, but will be counted in the total_tokens").
    """
    read, written = counts.get("input_tokens"), counts.get("output_tokens")
    if read is None or written is None or (beside := total - read - written) <= 0:
        return
    if counts.get("reasoning_tokens", beside) == beside:
        counts["reasoning_tokens"] = beside
        counts["output_tokens"] += beside


def _count(told: Any, names: Names, path: str, counts: dict[str, Any]) -> str | None:
    if (found := fields(told)) is NOTHING:
        return f"{path}={_shown(told)}"
    doubt = None
    for name, value in found.items():
        if value is None:
            continue
        ours = names.get(name)
        if type(ours) is dict or (ours is None and str(name).endswith("_details")):
            nested = _count(value, ours or {}, f"{path}.{name}", counts)
            doubt = doubt or nested
        elif (count := token_count(value)) is None:
            if str(name).endswith("_tokens"):
                doubt = doubt or f"{path}.{name}={_shown(value)}"
        elif ours is not None:
            counts[ours] = count
    return doubt


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= MAX_SHOWN else said[:MAX_SHOWN] + "…"
