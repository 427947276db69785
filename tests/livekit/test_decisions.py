"""Decision models: LiveKit Inference sends without an SDK, the openai plugin with one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web
from lane_kit import Lane, held, spent
from livekit.agents import APIConnectOptions, APIStatusError, inference, llm
from livekit.plugins import openai

from aden import Budget, RequestCancelledError

HANDOFF = {"handoff": llm.Probability("The caller asks for a human.")}
QUICK = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=5)
PRICES = "".join(
    f'[[price]]\nprovider = "{provider}"\nmodel = "{model}"\n'
    'input_per_1m = "10"\noutput_per_1m = "100"\n'
    for provider, model in (
        ("livekit", "openai/gpt-6-luna-decisions"),
        ("openai", "gpt-6-luna-decisions"),
    )
)
BILL = 42 * 10_000 + 3 * 100_000
"""Nano-dollars of one answer by `PRICES`."""


@dataclass
class Decisions:
    """``POST /v1/decisions`` of the gateway and of OpenAI, by the form of the question."""

    base_url: str = ""
    asked: int = 0
    statuses: list[int] = field(default_factory=list)
    """Of the next answers; 0: it never comes."""
    session: Any = None

    async def answer(self, request: web.Request) -> web.Response:
        """Say yes, most likely."""
        self.asked += 1
        body = await request.json()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await asyncio.sleep(60)
        if status != 200:
            return web.json_response({"error": "no"}, status=status)
        usage = {"input_tokens": 42, "output_tokens": 3, "total_tokens": 45}
        about = {"id": "dec_1", "model": body["model"], "usage": usage}
        if "state" in body:
            return web.json_response({**about, "answers": {"handoff": _LIVEKITS}})
        return web.json_response({**about, "object": "decision", "answers": [_OPENAIS]})

    def inference(self) -> llm.DecisionModel:
        """LiveKit Inference's."""
        return inference.DecisionModel(
            base_url=self.base_url, api_key="key", api_secret="s" * 40, http_session=self.session
        )

    def openai(self) -> llm.DecisionModel:
        """The openai plugin's."""
        return openai.DecisionModel(base_url=self.base_url, api_key="sk-test")


_LIVEKITS = {"type": "noul", "noul": 0.9}
_OPENAIS = {"type": "predicate", "name": "handoff", "probability": 0.9, "confidence": 0.9}
Make = Callable[[Decisions], llm.DecisionModel]
BOTH = pytest.mark.parametrize("make", [Decisions.inference, Decisions.openai])


@pytest.fixture
async def decisions() -> AsyncIterator[Decisions]:
    """A local provider of decisions."""
    found, app = Decisions(), web.Application()
    app.router.add_post("/v1/decisions", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    async with ClientSession() as found.session:
        yield found
    await runner.cleanup()


@pytest.fixture
def prices(tmp_path: Any) -> str:
    """A file with a price of decisions."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return str(path)


@BOTH
async def test_an_exhausted_budget_refuses_before_anything_is_sent(
    lane: Lane, decisions: Decisions, make: Make
) -> None:
    """At once: LiveKit tries a status error that is not retryable once."""
    with lane.instrumented(budgets=[Budget("calls", 0)]):
        with pytest.raises(RequestCancelledError) as refused:
            await make(decisions).evaluate(input="A human, please.", decisions=HANDOFF)
        (record,) = lane.records
    assert isinstance(refused.value, APIStatusError)
    assert (refused.value.status_code, decisions.asked, record.attempts) == (402, 0, 0)
    (span,) = [each for each in lane.spans() if "aden.decision.action" in (each.attributes or {})]
    assert (span.attributes or {})["aden.decision.action"] == "block"


@BOTH
async def test_a_batch_is_one_call_on_one_span(
    lane: Lane, decisions: Decisions, make: Make, prices: str
) -> None:
    """LiveKit's span has its usage already: it is enriched, and no other one tells of it."""
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget], prices=prices):
        response = await make(decisions).evaluate(input="A human, please.", decisions=HANDOFF)
        (record,) = lane.records
        assert (spent(lane, budget), held(lane, budget)) == (BILL, 0)
    assert response.results["handoff"].value == pytest.approx(0.9)
    assert (record.usage.input_tokens, record.usage.output_tokens) == (42, 3)
    assert (record.cost, record.component, record.attempts) == (BILL, "llm", 1)
    for mark in ("gen_ai.usage.input_tokens", "aden.cost.usd"):
        marked = [span.name for span in lane.spans() if mark in (span.attributes or {})]
        assert marked == ["decision_model.evaluate"], mark


@BOTH
async def test_what_livekit_tries_again_is_one_call(
    lane: Lane, decisions: Decisions, make: Make, prices: str
) -> None:
    """A status is free; the span tells of both tries."""
    decisions.statuses = [500]
    with lane.instrumented(budgets=[Budget("calls", "1")], prices=prices):
        await make(decisions).evaluate(input="?", decisions=HANDOFF, conn_options=QUICK)
        (record,) = lane.records
    assert (record.attempts, record.cost, decisions.asked) == (2, BILL, 2)
    (span,) = lane.spans("decision_model.evaluate")
    assert (span.attributes or {})["aden.attempts"] == 2


@BOTH
async def test_tries_that_time_out_are_booked_by_an_estimate(
    lane: Lane, decisions: Decisions, make: Make, prices: str
) -> None:
    """Each may have been billed; the span says so although nobody told LiveKit."""
    decisions.statuses = [0, 0]
    options = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=0.1)
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget], prices=prices):
        with pytest.raises(Exception, match="timed out"):
            await make(decisions).evaluate(input="?", decisions=HANDOFF, conn_options=options)
        (record,) = lane.records
        assert (record.attempts, record.usage.estimated) == (2, True)
        assert 0 < record.cost == spent(lane, budget)
        assert held(lane, budget) == 0
    (span,) = lane.spans("decision_model.evaluate")
    assert (span.attributes or {})["aden.attempts"] == 2


@BOTH
async def test_who_gives_up_leaves_nothing_held(
    lane: Lane, decisions: Decisions, make: Make, prices: str
) -> None:
    """The caller spoke on, and the answer is not needed any more."""
    decisions.statuses = [0]
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget], prices=prices):
        asked = make(decisions).evaluate(input="?", decisions=HANDOFF)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asked, 0.2)
        (record,) = lane.records
        assert (record.attempts, record.usage.estimated, held(lane, budget)) == (1, True, 0)
    (span,) = lane.spans("decision_model.evaluate")
    assert "aden.cost.usd" in (span.attributes or {})


async def test_a_throttle_is_no_part_of_livekits_timeout(lane: Lane, decisions: Decisions) -> None:
    """The request waits before its time runs."""
    from aden import BeforeRequestResult

    def slow(_params: Any, _context: Any) -> BeforeRequestResult:
        return BeforeRequestResult.throttle(delay_ms=400)

    options = APIConnectOptions(max_retry=0, timeout=0.3)
    with lane.instrumented(before_request=slow):
        await decisions.inference().evaluate(input="?", decisions=HANDOFF, conn_options=options)
        (record,) = lane.records
    assert (record.decision.action, decisions.asked) == ("throttle", 1)


async def test_what_livekit_finds_fault_with_is_no_call(lane: Lane, decisions: Decisions) -> None:
    """Nothing was sent, nothing is held, nobody needs to know."""
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget]):
        model = decisions.inference()
        with pytest.raises(ValueError, match="at least two"):
            await model.evaluate(input="?", decisions={"one": llm.Choice("Which?", {"a": "A"})})
        await model.evaluate(input="?", decisions={})
        assert (lane.records, held(lane, budget), decisions.asked) == ([], 0, 0)


class OfAnLLM(llm.DecisionModel):
    """A decision model that asks an LLM."""

    def __init__(self, asks: llm.LLM[Any]) -> None:
        super().__init__(capabilities=llm.DecisionCapabilities(decision_kinds=["probability"]))
        self._asks = asks

    async def _evaluate_impl(self, *, input: str, **_others: Any) -> llm.DecisionResponse:  # noqa: A002
        question = llm.ChatContext.empty()
        question.add_message(role="user", content=input)
        answer = await self._asks.chat(chat_ctx=question).collect()
        assert answer.usage
        return llm.DecisionResponse(
            results={"handoff": llm.ProbabilityResult(value=0.5)},
            input_tokens=answer.usage.prompt_tokens,
            output_tokens=answer.usage.completion_tokens,
        )


async def test_what_an_llm_is_asked_instead_is_the_llms(lane: Lane) -> None:
    """By its model and its price, once."""
    budget = Budget("calls", "1")
    with lane.instrumented(budgets=[budget]):
        await OfAnLLM(lane.llm()).evaluate(input="A human, please.", decisions=HANDOFF)
        (record,) = lane.records
        assert (record.model, record.cost) == ("gpt-4o", lane.provider.bill.total_nano_usd)
        assert (spent(lane, budget), held(lane, budget)) == (record.cost, 0)


async def test_a_conversation_is_measured(lane: Lane, decisions: Decisions) -> None:
    """A conversation is what decision models are given in a session."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="A human, please. " * 100)
    with lane.instrumented():
        await decisions.inference().evaluate(input=context, decisions=HANDOFF)
        (record,) = lane.records
    assert record.usage.input_tokens == 42
