"""A stream that is left is booked by all that was generated, by whatever name that came."""

from __future__ import annotations

import base64
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import openai
import pytest
from wire import Body, WireServer

from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden import CallRecord
    from house import House

PIECES: dict[str, dict[str, Any]] = {
    "DeepSeek's thoughts": {"content": None, "reasoning_content": " so"},
    "OpenRouter's thoughts": {"content": "", "reasoning": " so", "reasoning_details": []},
    "both names of thoughts": {"reasoning_content": " so", "reasoning": " so"},
    "a custom tool": {"tool_calls": [{"index": 0, "custom": {"input": " so"}}]},
    "a function": {"function_call": {"arguments": " so"}},
    "what is spoken": {"audio": {"id": "a", "transcript": " so"}},
}
COUNT, READ = 20, 10
LONG = "Tell me something in 400 tokens."
TENTH_OF_A_SECOND = base64.b64encode(bytes(4800)).decode()
"""Of 24 kHz and 16 bits, as audio models stream it: two tokens."""


@pytest.mark.parametrize("name", PIECES)
def test_pieces_of_any_kind_are_output(name: str, instrumented: Callable[..., House]) -> None:
    """Each is a token, those too that had arrived and were not read."""
    record = _left(instrumented(), PIECES[name])
    assert record.usage.estimated
    assert COUNT <= (record.usage.output_tokens or 0) <= COUNT + 2


def test_speech_is_booked_as_speech(instrumented: Callable[..., House]) -> None:
    """By the second, at its own price."""
    record = _left(instrumented(), {"audio": {"id": "a", "data": TENTH_OF_A_SECOND}}, "gpt-audio")
    assert record.usage.audio_output_tokens == 2 * READ
    assert record.cost > 2 * READ * 64_000  # $64 a million


@pytest.mark.parametrize(
    ("resource", "request_"),
    [
        (
            "chat.completions",
            {"messages": [{"role": "user", "content": LONG}], "reasoning_effort": "none"},
        ),
        ("responses", {"input": LONG, "reasoning": {"effort": "none"}}),
    ],
)
def test_a_model_that_is_told_not_to_think_has_nothing_hidden(
    resource: str, request_: dict[str, Any], instrumented: Callable[..., House]
) -> None:
    """A voice agent's every interruption would else cost a whole answer's reserve."""
    house = instrumented()
    with (
        OpenAIServer(ttft_ms=0, token_interval_ms=20) as slow,
        openai.OpenAI(base_url=slow.base_url, api_key="k") as client,
        attrgetter(resource)(client).create(model="gpt-5.1", stream=True, **request_) as stream,
    ):
        for _ in range(10):
            next(stream)
    record, _ = house.one_call()
    assert (record.usage.output_tokens or 0) <= 20


def _left(house: House, delta: dict[str, Any], model: str = "deepseek-reasoner") -> CallRecord:
    opening, piece = _chunk({"role": "assistant", "content": ""}), _chunk(delta)
    with WireServer() as wire, openai.OpenAI(base_url=wire.base_url, api_key="k") as client:
        wire.body = Body.events(opening, *[piece] * COUNT)
        with client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Why?"}], stream=True
        ) as stream:
            for _ in range(1 + READ):
                next(stream)
        record, _ = house.one_call()
    return record


def _chunk(delta: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    kind = "chat.completion.chunk"
    return {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice]}
