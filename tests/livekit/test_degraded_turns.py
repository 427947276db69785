"""A budget's cheaper model is skipped where it cannot take what the turn asks of it."""

from typing import Any

import pytest
from lane_kit import Lane, held, spent
from livekit.agents import llm
from livekit.plugins import openai
from pydantic import BaseModel

from aden import BeforeRequestResult, Budget, Degrade, requests


class Room(BaseModel):
    """An answer's form."""

    number: int


def question(*parts: Any) -> llm.ChatContext:
    """What a user says and shows."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=["What is it?", *parts])
    return context


IMAGE = llm.ImageContent(image="https://example.com/room.png")
TURNS: dict[str, tuple[tuple[Any, ...], dict[str, Any], dict[str, Any], str]] = {
    "plain": ((), {}, {}, "gpt-3.5-turbo"),
    "an image": ((IMAGE,), {}, {}, "gpt-4o"),
    "a schema": ((), {}, {"response_format": Room}, "gpt-4o"),
    "a reasoning effort": ((), {"reasoning_effort": "low"}, {}, "gpt-4o"),
}


@pytest.mark.parametrize("turn", TURNS)
async def test_a_target_that_cannot_take_the_turn_is_skipped(turn: str, lane: Lane) -> None:
    """What is sent is what the record says."""
    parts, of_the_plugin, of_the_turn, sent = TURNS[turn]
    budget = Budget("calls", "1", ladder=[Degrade(0, "gpt-3.5-turbo")])
    with lane.instrumented(budgets=[budget]):
        asked = lane.llm("gpt-4o", **of_the_plugin)
        async with asked.chat(chat_ctx=question(*parts), **of_the_turn) as stream:
            async for _ in stream:
                pass
        (record,) = lane.records
    (seen,) = (each for each in lane.provider.requests if each.path.endswith("/completions"))
    assert seen.body is not None
    assert record.model == seen.body["model"] == sent


@pytest.mark.parametrize("by", ["a ladder", "a hook"])
@pytest.mark.parametrize("turn", ["plain", "a reasoning effort"])
async def test_a_target_that_a_model_behind_an_adapter_cannot_ask_is_skipped(
    turn: str, by: str, lane: Lane
) -> None:
    """Only that model knows what it asks besides; the request is still held once."""
    _, of_the_plugin, _, sent = TURNS[turn]
    cheaper = BeforeRequestResult.degrade(to_model="gpt-3.5-turbo", reason="cheaper")
    ladder, hook = ([Degrade(0, "gpt-3.5-turbo")], None) if by == "a ladder" else ((), cheaper)
    budget = Budget("calls", limit=requests(1), ladder=ladder)
    with lane.instrumented(budgets=[budget], before_request=hook and (lambda *_: hook)):
        models: list[llm.LLM[Any]] = [lane.llm("gpt-4o", **of_the_plugin), lane.llm("gpt-4.1")]
        async with llm.FallbackAdapter(models).chat(chat_ctx=question()) as stream:
            async for _ in stream:
                pass
        (record,) = lane.records
        assert (spent(lane, budget), held(lane, budget)) == (1, 0)
    (seen,) = (each for each in lane.provider.requests if each.path.endswith("/completions"))
    assert seen.body is not None
    assert record.model == seen.body["model"] == sent
    assert record.decision.model == (None if sent == "gpt-4o" else sent)


@pytest.mark.parametrize("by", ["azure_deployment", "base_url"])
async def test_a_deployment_in_the_url_of_azures_plugin_is_not_exchanged(
    by: str, lane: Lane
) -> None:
    """Azure reads no model in the body there: it would be the dear one, booked as the cheap one."""
    root = lane.provider.azure_endpoint
    where: dict[str, Any] = {"azure_endpoint": root, "azure_deployment": "gpt-4o"}
    if by == "base_url":
        where = {"base_url": f"{root}/openai/deployments/gpt-4o"}
    budget = Budget("calls", "1", ladder=[Degrade(0, "gpt-4o-mini")])
    with lane.instrumented(budgets=[budget]):
        asked = openai.LLM.with_azure(
            model="gpt-4o", api_key="sk-test", api_version="2024-10-21", **where
        )
        async with asked.chat(chat_ctx=question()) as stream:
            async for _ in stream:
                pass
        (record,) = lane.records
    (seen,) = (each for each in lane.provider.requests if "/completions" in each.path)
    assert seen.body is not None
    assert record.model == seen.body["model"] == "gpt-4o"
    assert record.cost == lane.provider.bill.total_nano_usd
