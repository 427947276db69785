"""LiveKit's retries are attempts of one call; an adapter above other LLMs settles nothing."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from lane_kit import Lane, held, spent
from livekit.agents import APIConnectionError, llm

from aden import BeforeRequestContext, BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import Drop, OpenAIServer, Status


class Counting:
    """A hook that lets everything through and notes the models that it was asked about."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def __call__(
        self, params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult:
        """Note the model."""
        self.models.append(context.model)
        return BeforeRequestResult.proceed()


async def test_a_retry_of_livekit_is_a_second_attempt_of_the_same_call(
    lane: Lane, provider: OpenAIServer
) -> None:
    """500, then an answer: the gate is asked once, one call, and the bill is exact."""
    hook, budget = Counting(), Budget("calls", "1")
    with lane.instrumented(budgets=[budget], before_request=hook):
        async with lane.session() as session:
            provider.script(Status(500))
            await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert hook.models == ["gpt-4o"]
        assert lane.asked == 2
        assert (record.attempts, record.usage.estimated) == (2, False)
        assert record.cost == provider.bill.total_nano_usd == spent(lane, budget)
        assert held(lane, budget) == 0


async def test_a_request_that_was_dropped_and_retried_is_paid_twice(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The first attempt was billed; its input is known from the second one's report."""
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget]):
        async with lane.session() as session:
            provider.script(Drop(after_tokens=0))
            await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert (record.attempts, record.usage.estimated) == (2, True)
        assert len(provider.bill.items) == 2
        assert record.cost == provider.bill.total_nano_usd == spent(lane, budget)
    (span,) = lane.spans("llm_request")
    assert span.attributes is not None
    assert span.attributes["aden.attempts"] == 2
    assert span.attributes["gen_ai.usage.output_tokens"] == sum(
        item.output_tokens for item in provider.bill.items
    )


async def test_an_answer_that_breaks_off_is_settled_and_named_on_its_span(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit does not retry what was spoken already, and writes no usage: we do."""
    with lane.instrumented():
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
            provider.script(Drop(after_tokens=7))
            with pytest.raises(APIConnectionError):
                await session.run(user_input="And lunch?")
        record = lane.records[-1]
        billed = provider.bill.items[-1]
    assert (record.attempts, record.stream_end) == (1, "error")
    assert record.usage.output_tokens == billed.output_tokens == 7
    assert record.usage.input_tokens == pytest.approx(billed.input_tokens, rel=0.1)
    span = lane.spans("llm_request")[-1]
    assert span.attributes is not None
    assert span.attributes["gen_ai.usage.output_tokens"] == 7
    assert span.attributes["error.type"] == "APIConnectionError"


async def test_behind_a_fallback_adapter_each_request_is_gated_and_settled_once(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The adapter's own stream costs nothing; the failed model and the next are calls."""
    hook, budget = Counting(), Budget("calls", "1")
    adapter = llm.FallbackAdapter([lane.llm("gpt-4o"), lane.llm("gpt-4.1")])
    with lane.instrumented(budgets=[budget], before_request=hook):
        async with lane.session(llm=adapter) as session:
            provider.script(Status(500))
            await session.run(user_input="When is breakfast?")
            assert provider.wait_idle()
        records = lane.records
        # gpt-4o fails, gpt-4.1 answers, and LiveKit asks gpt-4o in the background whether it is
        # well again, which the provider bills.
        assert sorted(hook.models) == ["gpt-4.1", "gpt-4o", "gpt-4o"]
        assert [record.cost > 0 for record in records] == [False, True, True]
        assert sum(record.cost for record in records) == spent(lane, budget)
        reported = sum(record.cost for record in records if not record.usage.estimated)
        answered = [item for item in provider.bill.items if item.completed]
        assert reported == sum(item.nano_usd or 0 for item in answered)
        assert held(lane, budget) == 0
    costs = [span for span in lane.spans() if "aden.cost.usd" in (span.attributes or {})]
    assert {span.name for span in costs} == {"llm_request"}


async def test_a_refusal_behind_a_fallback_adapter_is_as_quick_as_one_without(
    lane: Lane, provider: OpenAIServer
) -> None:
    """All models refused: our class, at once, and the session goes on."""
    errors: list[Any] = []
    adapter = llm.FallbackAdapter([lane.llm("gpt-4o"), lane.llm("gpt-4.1")])
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session(llm=adapter) as session:
            session.on("error", errors.append)
            for _ in range(5):
                started = time.monotonic()
                with pytest.raises(RequestCancelledError) as refusal:
                    await session.run(user_input="When is breakfast?")
                assert time.monotonic() - started < 1.0
                assert refusal.value.reason == "exhausted"
        assert sum(record.repeats for record in lane.records) == 5  # no model is asked about
    assert [error.error.recoverable for error in errors] == [True] * 5
    assert all(isinstance(error.error.error, RequestCancelledError) for error in errors)
    assert lane.asked == 0


async def test_a_fallback_adapter_goes_on_to_the_model_that_still_may_be_asked(
    lane: Lane, provider: OpenAIServer
) -> None:
    """A budget of one model refuses it; the next model answers, and no model is taken for ill."""
    hook = Counting()
    adapter = llm.FallbackAdapter([lane.llm("gpt-4o"), lane.llm("gpt-4.1")])
    dear = Budget("dear", "0", scope={"model": "gpt-4o"})
    with lane.instrumented(budgets=[dear], before_request=hook):
        async with lane.session(llm=adapter) as session:
            for _ in range(2):
                await session.run(user_input="When is breakfast?")
        records = lane.records
    assert [(record.model, record.decision.action) for record in records] == [
        ("gpt-4o", "block"),
        ("gpt-4.1", "allow"),
    ] * 2
    assert hook.models == ["gpt-4o", "gpt-4.1"] * 2
