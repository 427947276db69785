"""A whole answer of which the SDK makes no object is billed as its provider tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest
from lanes import Lane
from shapes import REQUEST, City

from aden.testing import OpenAIServer, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

SHORT: dict[str, Any] = REQUEST | {"max_tokens": 3}
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}
every_client = pytest.mark.parametrize("kind", ["sync", "async"])


class Metropolis(City):
    """What no answer is about."""

    @pydantic.field_validator("people")
    @classmethod
    def _is_large(cls, people: int) -> int:
        raise ValueError(f"{people} are too few")


async def _cut_chat(lane: Lane) -> Any:
    return await lane.get(lane.chat.parse(**SHORT, response_format=City))


async def _wrong_chat(lane: Lane) -> Any:
    return await lane.get(lane.chat.parse(**REQUEST, response_format=Metropolis))


async def _wrong_response(lane: Lane) -> Any:
    return await lane.get(lane.responses.parse(**ASK, text_format=Metropolis))


@every_client
@pytest.mark.parametrize(
    ("use", "raised"),
    [
        (_cut_chat, openai.LengthFinishReasonError),
        (_wrong_chat, pydantic.ValidationError),
        (_wrong_response, pydantic.ValidationError),
    ],
)
async def test_an_answer_that_cannot_be_parsed_is_billed_by_its_usage(
    use: Callable[[Lane], Any],
    raised: type[Exception],
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """It ends at its cap, or is not what was asked for; the program gets the SDK's own error."""
    house = instrumented()
    lane = Lane(kind, server)
    with pytest.raises(raised):
        await use(lane)
    await lane.close()
    record, span = house.one_call()
    (item,) = server.bill.items
    assert not record.usage.estimated
    assert record.cost == item.nano_usd
    assert record.response_id is not None
    assert record.error_type == raised.__name__
    assert str((span.attributes or {})["error.type"]).endswith("." + raised.__name__)


@every_client
async def test_an_answer_that_breaks_its_schema_is_billed_by_its_usage(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The client is told to be strict."""
    server.script(Usage(total_tokens="many"))
    house = instrumented()
    lane = Lane(kind, server, _strict_response_validation=True)
    with pytest.raises(openai.APIResponseValidationError):
        await lane.create(**REQUEST)
    await lane.close()
    record, _ = house.one_call()
    assert not record.usage.estimated
    assert record.cost == server.bill.items[0].nano_usd


async def test_what_it_said_is_captured(
    server: OpenAIServer, instrumented: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where content is."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    house = instrumented()
    with pytest.raises(openai.LengthFinishReasonError):
        await _cut_chat(Lane("sync", server))
    _, span = house.one_call()
    (message,) = json.loads(str((span.attributes or {})["gen_ai.output.messages"]))
    assert message["finish_reason"] == "length"
    assert message["parts"]
