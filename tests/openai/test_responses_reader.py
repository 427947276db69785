"""What the Responses API's functions make of requests and answers, odd ones too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.core.estimate import COLD_UNSEEN_TOKENS, InputEstimator
from aden.core.request import Request
from aden.core.usage import COUNTS, MAX_TOKENS, Usage
from aden.instrumentation.openai import responses
from aden.metering.attempt import Attempt

CLIENT = SimpleNamespace(base_url=SimpleNamespace(host="api.openai.com", port=None))
TALK = ("openai", "gpt-4o", "")
ODD = st.sampled_from([None, True, -1, 3, 2**80, 0.5, "x", [], [3], ["x"], {}, {"a": 1}])


def odd(**fields: Any) -> st.SearchStrategy[Any]:
    """An object of these fields, each of which may be missing or something else; or no object."""
    every = {name: value | ODD for name, value in fields.items()}
    return st.fixed_dictionaries({}, optional=every) | ODD


COUNT = st.integers(-5, 2_000_000_000)
USAGE = odd(
    input_tokens=COUNT,
    output_tokens=COUNT,
    input_tokens_details=odd(cached_tokens=COUNT),
    output_tokens_details=odd(reasoning_tokens=COUNT),
)
PART = odd(type=st.just("output_text"), text=st.text(max_size=9), refusal=st.text(max_size=9))
ITEM = odd(
    type=st.sampled_from(["message", "function_call", "reasoning", "web_search_call"]),
    action=odd(type=st.just("search")),
    name=st.text(max_size=9),
    arguments=st.text(max_size=9),
    content=st.lists(PART, max_size=2),
    summary=st.lists(PART, max_size=2),
)
ERROR = odd(code=st.text(max_size=5), type=st.text(max_size=5), message=st.text(max_size=5))
RESPONSE = odd(
    id=st.just("resp_1"),
    model=st.just("gpt-4o"),
    status=st.sampled_from(["completed", "failed", "incomplete", "queued", "cancelled"]),
    background=st.booleans(),
    error=ERROR,
    incomplete_details=odd(reason=st.just("max_output_tokens")),
    output=st.lists(ITEM, max_size=2),
    usage=USAGE,
    service_tier=st.just("default"),
    tool_usage=odd(web_search=odd(num_requests=COUNT)),
)
EVENT = odd(
    type=st.sampled_from(
        [
            "response.completed",
            "response.output_text.delta",
            "response.output_item.added",
            "response.output_item.done",
            "error",
        ]
    ),
    delta=st.text(max_size=9),
    item=ITEM,
    response=RESPONSE,
    error=ERROR,
)


def described(**kwargs: Any) -> Request:
    """The request of a call with these keywords."""
    return responses.describe({"model": "gpt-4o", **kwargs}, CLIENT)


@given(st.lists(EVENT, max_size=4), RESPONSE)
def test_nothing_that_a_server_sends_breaks_the_reader_or_is_believed_if_absurd(
    events: list[Any], response: Any
) -> None:
    """Whatever it is, the call can be settled and shown."""
    attempt = Attempt(described(stream=True))
    for event in events:
        assert responses.feed(attempt, event, False)
    responses.read(attempt, response)
    billed = attempt.billed(10, 20)
    assert all(0 <= (getattr(billed, name) or 0) <= MAX_TOKENS for name in COUNTS)
    assert all(isinstance(reason, str) for reason in attempt.finish_reasons)
    assert attempt.response_id in (None, "resp_1") or isinstance(attempt.response_id, str)


def test_a_tool_call_is_counted_with_its_name() -> None:
    """The name comes with the item, the arguments in deltas; sound is no text."""
    attempt = Attempt(described(stream=True))
    item = {"type": "function_call", "name": "book"}
    for event in (
        {"type": "response.output_item.added", "item": item},
        {"type": "response.function_call_arguments.delta", "delta": '{"city"'},
        {"type": "response.audio.delta", "delta": "AAAA"},
    ):
        responses.feed(attempt, event, False)
    assert (attempt.deltas, attempt.size) == (2, 11)


SEARCHED = [
    {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
    {"type": "file_search_call", "status": "completed", "queries": ["x", "y"]},
    {"type": "web_search_call", "status": "completed"},
]


@pytest.mark.parametrize(
    ("tool_usage", "web"), [({}, 2), ({"tool_usage": {"web_search": {"num_requests": 0}}}, None)]
)
def test_searches_are_counted_as_the_provider_bills_them(
    tool_usage: dict[str, Any], web: int | None
) -> None:
    """By its own count, else by the items: a page that is opened is none."""
    attempt = Attempt(described())
    usage = {"input_tokens": 10, "output_tokens": 5}
    responses.read(
        attempt, {"status": "completed", "usage": usage, "output": SEARCHED, **tool_usage}
    )
    assert attempt.told == Usage(10, 5, web_searches=web, file_searches=1)
    responses.read(plain := Attempt(described()), {"status": "completed", "usage": usage})
    assert plain.told == Usage(10, 5)


def test_searches_of_a_stream_that_is_left_are_counted_once() -> None:
    """They were made, whoever reads on; its last event has them again."""
    attempt = Attempt(described(stream=True))
    for item in SEARCHED:
        responses.feed(attempt, {"type": "response.output_item.added", "item": item}, False)
        responses.feed(attempt, {"type": "response.output_item.done", "item": item}, False)
    left = attempt.billed(10, 20)
    assert (left.web_searches, left.file_searches, left.estimated) == (2, 1, True)
    usage = {"input_tokens": 10, "output_tokens": 5}
    last = {"status": "completed", "usage": usage, "output": SEARCHED}
    responses.feed(attempt, {"type": "response.completed", "response": last}, False)
    assert attempt.told == Usage(10, 5, web_searches=2, file_searches=1)


def test_a_compaction_is_shown_though_the_stream_is_left_after_it() -> None:
    """The item comes before the response that has it too; what else was said stays."""
    attempt = Attempt(described(stream=True))
    begun = {"status": "in_progress", "service_tier": "default"}
    responses.feed(attempt, {"type": "response.created", "response": begun}, False)
    done = {"type": "response.output_item.done", "item": {"type": "compaction"}}
    responses.feed(attempt, done, False)
    assert attempt.answer.attributes == {
        "openai.response.service_tier": "default",
        "gen_ai.conversation.compacted": True,
    }


def test_a_request_is_described_as_the_conventions_have_it() -> None:
    """Parameters by their names on the span."""
    request = described(
        input="Hello",
        temperature=0.5,
        max_output_tokens=99,
        reasoning={"effort": "low"},
        conversation={"id": "conv_1"},
        service_tier="flex",
        text={"format": {"type": "json_schema", "schema": {}}},
    )
    assert request.span_attributes == {
        "openai.api.type": "responses",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.reasoning.level": "low",
        "openai.request.service_tier": "flex",
        "gen_ai.conversation.id": "conv_1",
        "gen_ai.output.type": "json",
    }
    assert (request.conversation_id, request.unseen_input) == ("conv_1", True)
    assert (request.effort, request.hidden_output, request.max_output_tokens) == (True, True, 99)


@pytest.mark.parametrize(
    ("kwargs", "size"),
    [
        ({"input": "12345678"}, 8),
        ({"input": [{"content": [{"text": "12345678"}]}]}, 8),
        ({"input": "1234", "instructions": "5678"}, 8),
        ({"input": [{"content": [{"type": "input_image", "image_url": "x" * 999}]}]}, 0),
        ({"input": "1234", "tools": [{"a": 1}]}, 13),
        ({}, 0),
    ],
)
def test_all_that_is_sent_to_be_read_is_measured(kwargs: dict[str, Any], size: int) -> None:
    """Bytes; an image is tokens instead."""
    assert described(**kwargs).input_chars == size


def test_a_continuation_is_estimated_by_what_the_provider_last_counted() -> None:
    """It puts the earlier prompt and answer in front; the reasoning is not read again."""
    estimator = InputEstimator()
    first = described(input="x" * 40)
    estimator.keep(first, "resp_1", Usage(1000, 300, reasoning_tokens=200))
    known = described(input="x" * 40, previous_response_id="resp_1")
    unknown = described(input="x" * 40, previous_response_id="resp_2")
    alone = estimator.likely(TALK, first)
    assert estimator.likely(TALK, known) == 1000 + 100 + alone
    assert estimator.likely(TALK, unknown) == COLD_UNSEEN_TOKENS + alone


def test_a_conversation_grows_with_each_answer() -> None:
    """Its id stands for the latest state."""
    estimator = InputEstimator()
    turn = described(input="x" * 40, conversation="conv_1")
    estimator.keep(turn, "resp_1", Usage(100, 50))
    estimator.keep(turn, "resp_2", Usage(180, 70))
    assert estimator.likely(TALK, turn) == 250 + 17


def test_an_unseen_prompt_teaches_no_ratio() -> None:
    """Its tokens belong to text that was not sent."""
    estimator = InputEstimator()
    estimator.report(
        TALK, described(input="x" * 40, previous_response_id="resp_1"), Usage(9000), 0.0
    )
    assert estimator.likely(TALK, described(input="x" * 40)) == 17
