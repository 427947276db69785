"""What one sending of a request is billed for: the provider's figures, else an estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aden.core.request import Request
from aden.core.usage import Usage
from aden.metering.attempt import Attempt

INPUT, RESERVED = 100, 500
PLAIN = Request("openai", "gpt-4o")
STREAM = Request("openai", "gpt-4o", stream=True)
REASONING = Request("openai", "o1", stream=True, hidden_output=True)


def saw(attempt: Attempt, words: int) -> None:
    """A stream of *words* deltas."""
    for _ in range(words):
        attempt.saw_text("word ")


@pytest.mark.parametrize(
    ("request_", "silent", "words", "output"),
    [
        (PLAIN, False, 0, RESERVED),  # cut before the answer: it may be anything up to the cap
        (PLAIN, False, 9, 9),  # the text of an answer without usage
        (STREAM, False, 0, 0),  # left before the first word
        (STREAM, False, 7, 7),
        (STREAM, True, 0, RESERVED),  # timed out in silence
        (REASONING, False, 0, RESERVED),  # what it thought nobody saw
        (REASONING, False, 7, RESERVED),
        (REASONING, False, 900, 900),  # never less than what was seen
    ],
)
def test_without_a_report_the_output_is_what_was_seen_or_may_have_been(
    request_: Request, silent: bool, words: int, output: int
) -> None:
    """An estimate is marked as one."""
    attempt = Attempt(request_, silent=silent)
    saw(attempt, words)
    attempt.ended_unknown()
    assert attempt.billed(INPUT, RESERVED) == Usage(INPUT, output, estimated=True)


@pytest.mark.parametrize(
    ("request_", "seconds", "output"),
    [
        (STREAM, 0.2, 50),  # so much may have been made in that time
        (STREAM, 60.0, RESERVED),  # and no more than was to be expected
        (replace(STREAM, choices=2), 0.2, 100),
        (REASONING, 0.2, RESERVED),
        (PLAIN, 0.2, RESERVED),
    ],
)
def test_hung_up_before_the_answer_began_it_costs_what_that_time_allows(
    request_: Request, seconds: float, output: int
) -> None:
    """An interrupted turn is no whole answer, and it is not free."""
    attempt = Attempt(request_, hung_up_after_s=seconds)
    attempt.ended_unknown()
    assert attempt.billed(INPUT, RESERVED) == Usage(INPUT, output, estimated=True)


@pytest.mark.parametrize(
    ("reported", "billed"),
    [
        (Usage(10, 20, cached_tokens=5), Usage(10, 20, cached_tokens=5)),
        (Usage(0, 0), Usage(0, 0)),
        (Usage(10, None), Usage(10, 7, estimated=True)),
        (Usage(None, 20), Usage(INPUT, 20, estimated=True)),
        (Usage(audio_input_ms=900), Usage(audio_input_ms=900)),
        (Usage(characters=0), Usage(characters=0)),
        (Usage(None, None, cached_tokens=5), Usage(INPUT, 7, estimated=True)),
    ],
)
def test_what_is_reported_stands_and_the_rest_is_filled_in(reported: Usage, billed: Usage) -> None:
    """A reported zero is a zero; a missing figure is not."""
    attempt = Attempt(STREAM)
    saw(attempt, 7)
    attempt.saw_usage(reported)
    attempt.ended_unknown()
    assert attempt.billed(INPUT, RESERVED) == billed


@pytest.mark.parametrize("first", ["free", "unknown", "reported"])
def test_how_an_attempt_ended_is_said_once(first: str) -> None:
    """What comes after the first word on it changes nothing."""
    attempt = Attempt(PLAIN)
    endings: dict[str, Any] = {
        "free": attempt.ended_free,
        "unknown": attempt.ended_unknown,
        "reported": lambda: attempt.saw_usage(Usage(1, 1)),
    }
    endings[first]()
    attempt.ended_free()
    attempt.ended_unknown()
    assert attempt.outcome == first


def test_a_free_attempt_costs_nothing_whatever_was_seen() -> None:
    """An error status is not billed."""
    attempt = Attempt(PLAIN)
    attempt.ended_free()
    assert attempt.billed(INPUT, RESERVED) == Usage()


def test_only_the_first_chunk_is_the_first() -> None:
    """Its moment stays."""
    attempt = Attempt(STREAM)
    assert attempt.saw_chunk()
    at = attempt.first_chunk_at
    assert not attempt.saw_chunk()
    assert attempt.first_chunk_at == at
