"""The local server's Responses API, seen through the real SDK over real sockets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import openai
import pytest

from aden.testing import ErrorEvent, Fail, OpenAIServer, Refuse
from aden.testing.bill import nano_usd

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    """A client that does not retry."""
    with openai.OpenAI(base_url=server.base_url, api_key="key", max_retries=0) as made:
        yield made


def test_the_events_of_a_stream_are_numbered_and_in_openais_order(client: openai.OpenAI) -> None:
    """The SDK's own accumulator makes of them what a plain answer says."""
    events = list(client.responses.create(**ASK, stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[4:16] == ["output_text.delta"] * 12
    ends = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert kinds[16:] == ends
    assert [event.sequence_number for event in events] == list(range(20))
    with client.responses.stream(**ASK) as stream:
        helped = stream.get_final_response()
    assert helped.output_text == client.responses.create(**ASK).output_text


def test_the_bill_is_what_the_usage_says(server: OpenAIServer, client: openai.OpenAI) -> None:
    """Input, output and hidden reasoning."""
    usage = client.responses.create(**ASK | {"model": "o1"}).usage
    assert usage is not None
    (item,) = server.bill.items
    assert (usage.input_tokens, usage.output_tokens) == (item.input_tokens, item.output_tokens)
    assert usage.output_tokens_details.reasoning_tokens == 64
    assert item.nano_usd == nano_usd("o1", usage.input_tokens, 0, 76)


@pytest.mark.parametrize("how", ["previous_response_id", "conversation"])
def test_a_continuation_reads_what_was_said_before(
    how: str, server: OpenAIServer, client: openai.OpenAI
) -> None:
    """The earlier question and answer are billed again."""
    talk: dict[str, Any] = {"conversation": "conv_1"} if how == "conversation" else {}
    first = client.responses.create(**ASK, **talk)
    talk = talk or {"previous_response_id": first.id}
    client.responses.create(**ASK, **talk)
    one, two = server.bill.items
    # 6 + 12 tokens of text in two messages, and the second question.
    assert two.input_tokens == one.input_tokens + (one.input_tokens - 3) + 12 + 4


def test_a_limit_makes_the_response_incomplete(client: openai.OpenAI) -> None:
    """It says why."""
    answer = client.responses.create(**ASK | {"input": "60 tokens"}, max_output_tokens=20)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 20


def test_it_can_fail_and_refuse(server: OpenAIServer, client: openai.OpenAI) -> None:
    """In a well-formed answer, an event, and the model's words."""
    server.script(Fail(3, "invalid_prompt"), Fail(3), ErrorEvent(3), Refuse())
    failed = client.responses.create(**ASK)
    assert (failed.status, failed.usage) == ("failed", None)
    assert failed.error is not None
    assert failed.error.code == "invalid_prompt"
    assert [*client.responses.create(**ASK, stream=True)][-1].type == "response.failed"
    assert [*client.responses.create(**ASK, stream=True)][-1].type == "error"
    refused: Any = client.responses.create(**ASK).output[0]
    assert refused.content[0].type == "refusal"
    assert [item.output_tokens for item in server.bill.items] == [3, 3, 3, 12]


def test_a_background_response_is_made_though_nobody_listens(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    """It is queued, in progress, then completed; its stream can be read again from anywhere."""
    server.interval_s = 0.02
    made = client.responses.create(**ASK, background=True)
    assert made.status == "queued"
    assert client.responses.retrieve(made.id).status == "in_progress"
    events = list(client.responses.retrieve(made.id, stream=True, starting_after=17))
    assert [event.sequence_number for event in events] == [18, 19]
    assert client.responses.retrieve(made.id).status == "completed"
    (item,) = server.bill.items
    assert (item.output_tokens, item.reported) == (12, True)


def test_cancelling_stops_it(server: OpenAIServer, client: openai.OpenAI) -> None:
    """What was made until then stays billed."""
    server.interval_s = 0.02
    made = client.responses.create(**ASK | {"input": "400 tokens"}, background=True)
    time.sleep(0.1)
    assert client.responses.cancel(made.id).status == "cancelled"
    (item,) = server.bill.items
    assert 0 < item.output_tokens < 400


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"previous_response_id": "resp_x"}, "previous_response_not_found"),
        ({"max_output_tokens": 15}, "integer_below_min_value"),
        ({"input": 3}, "invalid_type"),
    ],
)
def test_what_the_provider_refuses_is_refused(
    wrong: dict[str, Any], code: str, server: OpenAIServer, client: openai.OpenAI
) -> None:
    """With its code; nothing is billed."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**ASK | wrong)
    assert refused.value.code == code
    assert not server.bill.items
