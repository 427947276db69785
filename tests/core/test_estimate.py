"""Tokens where nobody has counted them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aden.core.estimate import InputEstimator, output_tokens, text_size
from aden.core.request import Request
from aden.core.usage import Usage

TALK = ("openai", "gpt-4o", "session-1")
TURN = Request("openai", "gpt-4o", input_chars=4000, input_extra_tokens=20)


def test_a_first_turn_is_guessed_from_its_size() -> None:
    """Four bytes a token, and what bytes do not show."""
    assert InputEstimator().likely(TALK, TURN) == 1020


def test_a_later_turn_continues_the_last_reported_prompt() -> None:
    """Only the new text has to be guessed."""
    estimator = InputEstimator()
    estimator.report(TALK, TURN, Usage(900), 0.0)
    assert estimator.likely(TALK, TURN) == 900
    longer = replace(TURN, input_chars=4400)
    assert 980 <= estimator.likely(TALK, longer) <= 1010


def test_another_conversation_takes_over_the_model_s_ratio_only() -> None:
    """Its own prompt is its own."""
    estimator = InputEstimator()
    estimator.report(TALK, replace(TURN, input_chars=1000, input_extra_tokens=0), Usage(500), 0.0)
    other = ("openai", "gpt-4o", "session-2")
    assert estimator.likely(other, replace(TURN, input_extra_tokens=0)) == 2000


def test_what_a_session_s_last_request_had_cached_its_continuation_has_cached_too() -> None:
    """Not another session's, another model's, a shorter prompt's, nor after five minutes."""
    estimator = InputEstimator()
    estimator.report(TALK, TURN, Usage(900, cached_tokens=768), 0.0)
    longer = replace(TURN, input_chars=4400)
    assert estimator.likely_cached(TALK, longer, 10.0) == 768
    others = [
        (("openai", "gpt-4o", "session-2"), longer, 10.0),
        (TALK, replace(longer, model="gpt-4o-mini"), 10.0),
        (TALK, replace(TURN, input_chars=3000), 10.0),
        (TALK, longer, 301.0),
    ]
    assert [estimator.likely_cached(*other) for other in others] == [None] * 4


def test_requests_of_no_session_continue_nothing_in_the_cache() -> None:
    """They share one name, and may be anybody's."""
    estimator = InputEstimator()
    nobody = ("openai", "gpt-4o", "")
    estimator.report(nobody, TURN, Usage(900, cached_tokens=768), 0.0)
    assert estimator.likely_cached(nobody, TURN, 1.0) is None


def test_a_reservation_holds_more_than_is_likely() -> None:
    """Seldom too low."""
    estimator = InputEstimator()
    assert estimator.upper(TALK, TURN) > estimator.likely(TALK, TURN)


def test_the_memory_of_conversations_is_bounded() -> None:
    """A worker that lives for months does not grow."""
    estimator = InputEstimator()
    for number in range(10_000):
        estimator.report(("openai", "gpt-4o", str(number)), TURN, Usage(900), 0.0)
    assert len(estimator._reports) <= 4096


def test_output_is_what_arrived() -> None:
    """About one token a delta; a delta that carries a paragraph is more than one."""
    assert output_tokens(12, 40) == 12
    assert output_tokens(1, 400) == 100


@given(st.text())
def test_sizes_are_utf_8_bytes(text: str) -> None:
    """Also of lone surrogates, which no encoder likes."""
    assert text_size(text) == len(text.encode("utf-8", "replace"))


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**7))
def test_no_estimate_is_negative(size: int, tokens: int, later: int) -> None:
    """Whatever was reported, and also when a conversation shrinks."""
    estimator = InputEstimator()
    estimator.report(TALK, replace(TURN, input_chars=size), Usage(tokens), 0.0)
    assert estimator.likely(TALK, replace(TURN, input_chars=later)) >= 0
