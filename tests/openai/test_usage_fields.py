"""One table says which of a provider's fields are which counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aden.core.usage import COUNTS, Usage
from aden.instrumentation.openai.chat import span_attributes
from aden.instrumentation.openai.usage import COMPLETIONS, REALTIME, RESPONSES, Spelling, counted

READ = {"cached_tokens": 3, "cache_write_tokens": 4, "audio_tokens": 5, "image_tokens": 6}
WRITTEN = {"reasoning_tokens": 7, "audio_tokens": 8, "image_tokens": 9}
CACHED = {"audio_tokens": 1, "image_tokens": 2}
WHOLE = Usage(
    input_tokens=100,
    output_tokens=50,
    cached_tokens=3,
    cache_write_tokens=4,
    reasoning_tokens=7,
    audio_input_tokens=5,
    audio_output_tokens=8,
    cached_audio_tokens=1,
    image_input_tokens=6,
    cached_image_tokens=2,
    image_output_tokens=9,
)
spelled = pytest.mark.parametrize("spelling", [COMPLETIONS, RESPONSES, REALTIME])


def usage(spelling: Spelling, **read: Any) -> dict[str, Any]:
    """A usage with every field."""
    return {
        spelling.read: 100,
        spelling.written: 50,
        spelling.of_read: {**READ, "cached_tokens_details": CACHED, **read},
        spelling.of_written: WRITTEN,
    }


@spelled
def test_every_api_says_the_same_in_its_own_words(spelling: Spelling) -> None:
    """Each count once; milliseconds, characters and images are told elsewhere."""
    assert counted(usage(spelling), spelling) == (WHOLE, None)
    told = {name for name in COUNTS if getattr(WHOLE, name) is not None}
    assert {name for name in COUNTS if name.endswith("_tokens")} - told == {"cache_write_1h_tokens"}


@spelled
@pytest.mark.parametrize("odd", [None, -1, "many", True, 1.5, 10**30, [1], {}])
def test_what_is_missing_or_absurd_is_no_count(spelling: Spelling, odd: Any) -> None:
    """The others stand."""
    told, _ = counted(usage(spelling, cached_tokens=odd), spelling)
    assert told.cached_tokens is None
    assert told.output_tokens == 50
    assert counted(odd, spelling)[0] == Usage()
    assert counted({spelling.of_read: odd, spelling.read: 0}, spelling)[0] == Usage(0)


def doubt(usage: object) -> str | None:
    """What cannot be true in it."""
    return counted(usage, COMPLETIONS)[1]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"prompt_tokens": -1}, "usage.prompt_tokens=-1"),
        ({"total_tokens": "many", "prompt_tokens": -1}, "usage.total_tokens='many'"),
        (
            {"prompt_tokens_details": {"cached_tokens": 1.5}},
            "usage.prompt_tokens_details.cached_tokens=1.5",
        ),
        (
            {"completion_tokens_details": {"accepted_prediction_tokens": True}},
            "usage.completion_tokens_details.accepted_prediction_tokens=True",
        ),
        ({"prompt_tokens_details": 5}, "usage.prompt_tokens_details=5"),
        ({"unheard_details": {"of_tokens": [1]}}, "usage.unheard_details.of_tokens=[1]"),
        (5, "usage=5"),
    ],
)
def test_the_first_that_cannot_be_true_is_named(odd: object, said: str) -> None:
    """Also a count that is none of ours, and details that are a number, though it could be one."""
    assert doubt(odd) == said


@pytest.mark.parametrize("details", [None, {}, SimpleNamespace(), {"kind": "text"}])
def test_details_that_say_nothing_are_not_doubted(details: object) -> None:
    """Neither as JSON nor as an object."""
    assert doubt({"prompt_tokens_details": details, "unheard_details": details}) is None
    assert doubt(None) is None


@pytest.mark.parametrize(
    "asked",
    [
        {"max_tokens": 0},
        {"max_completion_tokens": 0},
        {"max_completion_tokens": 0, "max_tokens": 9},
    ],
)
def test_a_cap_of_zero_is_shown_and_the_newer_name_goes_first(asked: dict[str, int]) -> None:
    """As it was asked for, whatever a provider makes of it."""
    assert span_attributes(asked)["gen_ai.request.max_tokens"] == 0


XAI = {"completion_tokens_details": {"reasoning_tokens": 94}}
OURS = {"completion_tokens_details": {"reasoning_tokens": 5}}


@pytest.mark.parametrize(
    ("total", "details", "output", "thoughts"),
    [
        (135, XAI, 103, 94),
        (553, {}, 521, 512),
        (41, OURS, 9, 5),
        (60, OURS, 9, 5),
        (41, {}, 9, None),
        (None, XAI, 9, 94),
    ],
    ids=["xAI", "Gemini", "OpenAI", "a total that explains nothing", "plain", "no total"],
)
def test_thoughts_that_are_told_beside_the_output_are_a_part_of_it(
    total: int | None, details: dict[str, Any], output: int, thoughts: int | None
) -> None:
    """They are billed as output, and only the total has them."""
    usage = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": total, **details}
    told, doubt = counted(usage, COMPLETIONS)
    assert doubt is None
    assert told == Usage(32, output, reasoning_tokens=thoughts)


@pytest.mark.parametrize("name", ["cached_tokens", "prompt_cache_hit_tokens"])
def test_cached_tokens_that_stand_beside_the_totals_are_counted(name: str) -> None:
    """So Kimi and DeepSeek tell them; where they stand in the details as well, they are one."""
    usage = {"prompt_tokens": 19, "completion_tokens": 13, "total_tokens": 32, name: 12}
    details = {"prompt_tokens_details": {"cached_tokens": 12}}
    assert counted(usage, COMPLETIONS)[0] == Usage(19, 13, 12)
    assert counted(usage | details, COMPLETIONS)[0] == Usage(19, 13, 12)
