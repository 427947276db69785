"""Streams above other streams: the outermost is asked once, and each model at its own price."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from lane_kit import Lane, held, spent
from livekit.agents import APIConnectionError, llm
from livekit.agents.testing import fake_job_context
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

import aden.livekit
from aden import (
    BeforeRequestContext,
    BeforeRequestResult,
    Block,
    Budget,
    Degrade,
    RequestCancelledError,
    Rule,
    requests,
)
from aden.testing import OpenAIServer, Status

DEAR = Budget("dear", "0", scope={"model": "gpt-4o"})


class Hook:
    """Answers each question with the next of its answers, then proceeds."""

    def __init__(self, *answers: BeforeRequestResult) -> None:
        self._answers = iter(answers)
        self.models: list[str] = []

    def __call__(
        self, params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult:
        """Answer."""
        self.models.append(context.model)
        return next(self._answers, BeforeRequestResult.proceed())


def adapter(lane: Lane) -> llm.FallbackAdapter:
    """A dear model, and a cheaper one behind it."""
    return llm.FallbackAdapter([lane.llm("gpt-4o"), lane.llm("gpt-4.1")])


async def test_an_adapter_s_refusal_is_one_record_and_one_span_without_a_cost(lane: Lane) -> None:
    """No model behind it is asked about."""
    hook, budget = Hook(), Budget("calls", "0")
    with lane.instrumented(budgets=[budget], before_request=hook):
        async with lane.session(llm=adapter(lane)) as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert (record.decision.action, record.attempts, hook.models) == ("block", 0, ["gpt-4o"])
    assert not lane.spans("llm_request")
    (span,) = lane.spans("llm_fallback_adapter")
    attributes = span.attributes or {}
    assert attributes["error.type"] == "LiveKitRequestCancelledError"
    assert attributes["aden.decision.action"] == "block"
    assert attributes["aden.budget.id"] == "calls"
    assert not [name for name in attributes if "cost" in name or "usage" in name]


@pytest.mark.parametrize("beside", [[], [Budget("of the model", "1", scope={"model": "gpt-4o"})]])
async def test_a_budget_for_one_request_bears_one_request_through_an_adapter(
    lane: Lane, provider: OpenAIServer, beside: list[Budget]
) -> None:
    """What the adapter holds is what the model behind it needs, not held twice."""
    one = Budget("one", limit=requests(1))
    with lane.instrumented(budgets=[one, *beside]):
        async with lane.session(llm=adapter(lane)) as session:
            await session.run(user_input="When is breakfast?")
            with pytest.raises(RequestCancelledError) as refusal:
                await session.run(user_input="And lunch?")
            assert refusal.value.budget_id == "one"
        answered, _ = lane.records
        assert answered.cost == provider.bill.total_nano_usd
        assert (spent(lane, one), held(lane, one)) == (1, 0)
        for budget in beside:
            assert (spent(lane, budget), held(lane, budget)) == (answered.cost, 0)


async def test_a_degrade_that_the_adapter_is_told_of_changes_the_model_behind_it(
    lane: Lane, provider: OpenAIServer
) -> None:
    """And the record says what was asked."""
    budget = Budget("calls", "1", ladder=[Degrade(0, "gpt-4o-mini")])
    with lane.instrumented(budgets=[budget]):
        async with lane.session(llm=adapter(lane)) as session:
            await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert (record.asked_model, record.model) == ("gpt-4o", "gpt-4o-mini")
        assert record.cost == provider.bill.total_nano_usd == spent(lane, budget)


@pytest.mark.parametrize(
    "policy", [{"budgets": [DEAR]}, {"rules": [Rule(Block(), scope={"model": "gpt-4o"})]}]
)
async def test_what_refuses_one_model_is_a_failover_and_no_fault(
    lane: Lane, provider: OpenAIServer, policy: dict[str, Any]
) -> None:
    """Nothing is told to the session, nobody is probed, and nothing stays held."""
    errors: list[Any] = []
    everyone = Budget("all", "1")
    budgets = [everyone, *policy.get("budgets", [])]
    with lane.instrumented(**{**policy, "budgets": budgets}):
        async with lane.session(llm=adapter(lane)) as session:
            session.on("error", errors.append)
            for _ in range(2):
                await session.run(user_input="When is breakfast?")
        assert not errors
        assert {item.model for item in provider.bill.items} == {"gpt-4.1"}
        assert len(provider.bill.items) == 2
        assert spent(lane, everyone) == provider.bill.total_nano_usd
        assert held(lane, everyone) == 0


async def test_who_hears_that_a_refused_model_is_down_hears_that_it_is_back(lane: Lane) -> None:
    """LiveKit tells that it is down before it asks whether to probe it."""
    heard: list[tuple[str, bool]] = []
    models = adapter(lane)
    models.on(
        "llm_availability_changed", lambda event: heard.append((event.llm.model, event.available))
    )
    with lane.instrumented(budgets=[DEAR]):
        async with lane.session(llm=models) as session:
            for _ in range(2):
                await session.run(user_input="When is breakfast?")
    assert heard == [("gpt-4o", False), ("gpt-4o", True)] * 2


async def test_where_each_model_is_refused_the_turn_is_refused_once(lane: Lane) -> None:
    """By their own budgets: our class, at once."""
    errors: list[Any] = []
    cheaper = Budget("cheaper", "0", scope={"model": "gpt-4.1"})
    everyone = Budget("all", "1")
    with lane.instrumented(budgets=[DEAR, cheaper, everyone]):
        async with lane.session(llm=adapter(lane)) as session:
            session.on("error", errors.append)
            for _ in range(5):
                started = time.monotonic()
                with pytest.raises(RequestCancelledError):
                    await session.run(user_input="When is breakfast?")
                assert time.monotonic() - started < 2.0  # LiveKit alone: 4 s
        assert held(lane, everyone) == 0
    assert [event.error.recoverable for event in errors] == [True] * 5
    assert all(isinstance(event.error.error, RequestCancelledError) for event in errors)
    assert lane.asked == 0


async def test_a_refused_probe_is_nobody_s_refusal(lane: Lane, provider: OpenAIServer) -> None:
    """LiveKit asks a failed model in the background whether it is well again."""
    errors: list[Any] = []
    proceed = BeforeRequestResult.proceed()
    hook = Hook(proceed, proceed, BeforeRequestResult.cancel("no probes"))
    with lane.instrumented(before_request=hook, refusal_message="Sorry."):
        async with lane.session(llm=adapter(lane)) as session:
            session.on("error", errors.append)
            provider.script(Status(500))
            answer = await session.run(user_input="When is breakfast?")
            async with asyncio.timeout(20):
                while len(hook.models) < 3:
                    await asyncio.sleep(0.01)
            assert answer.events[-1].item.text_content != "Sorry."
            await asyncio.sleep(0.1)
            said = [item.text_content for item in session.history.items if item.type == "message"]
            assert "Sorry." not in said
        probe = lane.records[-1]
        assert (probe.model, probe.decision.action) == ("gpt-4o", "block")
    assert not errors


async def test_a_request_waits_once_however_many_models_it_needs(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The second model's answer is late already."""
    waits = [BeforeRequestResult.throttle(delay_ms=delay) for delay in (50, 60_000, 0)]
    hook = Hook(*waits)
    with lane.instrumented(before_request=hook):
        async with lane.session(llm=adapter(lane)) as session:
            provider.script(Status(500))
            async with asyncio.timeout(20):
                await session.run(user_input="When is breakfast?")
    assert hook.models[:2] == ["gpt-4o", "gpt-4.1"]


class Broken(llm.LLM[Any]):
    """An LLM that makes no stream."""

    def chat(self, **_: Any) -> llm.LLMStream:
        """Fail."""
        raise RuntimeError("no stream")


async def test_an_adapter_below_which_nothing_is_asked_costs_nothing(lane: Lane) -> None:
    """What it held is given back, and no call is told of."""
    budget = Budget("calls", "1")
    question = llm.ChatContext.empty()
    question.add_message(role="user", content="When is breakfast?")
    with lane.instrumented(budgets=[budget]):
        stream = llm.FallbackAdapter([Broken()]).chat(chat_ctx=question)
        with pytest.raises(APIConnectionError):
            await stream.collect()
        assert lane.records == []
        assert (spent(lane, budget), held(lane, budget)) == (0, 0)


class Router(llm.LLM[Any]):
    """An LLM of the program that asks others."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.chosen = lane.llm("gpt-4o-mini")

    @property
    def model(self) -> str:
        """What it calls itself."""
        return "gpt-4o"

    def chat(self, *, chat_ctx: llm.ChatContext, **_: Any) -> llm.LLMStream:
        """Answer."""
        return _Routed(self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class _Routed(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, Router)
        async with self._llm.chosen.chat(chat_ctx=self._chat_ctx) as stream:
            async for chunk in stream:
                self._event_ch.send_nowait(chunk)


async def test_an_llm_that_asks_another_is_one_call_at_the_other_s_price(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Its own chunks are those of the stream below."""
    budget = Budget("calls", limit=requests(1))
    with lane.instrumented(budgets=[budget]):
        async with lane.session(llm=Router(lane)) as session:
            await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert (record.model, record.cost) == ("gpt-4o-mini", provider.bill.total_nano_usd)
        assert (spent(lane, budget), held(lane, budget)) == (1, 0)


async def test_a_refusal_below_an_llm_of_the_program_is_told_once_and_closes_nothing(
    lane: Lane,
) -> None:
    """LiveKit would count four of them as a broken LLM."""
    errors: list[Any] = []
    closed: list[Any] = []
    below = Budget("below", "0", scope={"model": "gpt-4o-mini"})
    with lane.instrumented(budgets=[below]):
        async with lane.session(llm=Router(lane)) as session:
            session.on("error", errors.append)
            session.on("close", closed.append)
            for _ in range(5):
                with pytest.raises(RequestCancelledError):
                    await session.run(user_input="When is breakfast?")
            assert not closed
        assert sum(record.repeats for record in lane.records) == 5
    assert [event.error.recoverable for event in errors] == [True] * 5


async def test_what_an_llm_of_the_program_holds_is_given_back_where_the_one_below_is_refused(
    lane: Lane,
) -> None:
    """From memory as well, from the second refusal on: in the ledger and in the session's books."""
    below = Budget("below", "0", scope={"model": "gpt-4o-mini"})
    everyone = Budget("all", "1")
    with lane.instrumented(budgets=[below, everyone]), fake_job_context(job_id="AJ_1") as job:
        own = aden.livekit.session_budget(job, "0.05")
        async with lane.session(llm=Router(lane)) as session:
            for _ in range(4):
                with pytest.raises(RequestCancelledError) as refusal:
                    await session.run(user_input="When is breakfast?")
                assert refusal.value.budget_id == "below"
                assert held(lane, everyone) == 0
        aden.flush()
        assert (own.reserved, own.remaining, own.bill.open_calls) == (0, 0.05, 0)
        assert own.bill.total.refused == 4
