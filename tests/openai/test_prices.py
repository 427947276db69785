"""Prices end to end: a local model under an exhausted budget, tiers, blocks, names without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from guide import spend
from wire import Body, WireServer

import aden
from aden import Budget, ConfigurationError, Degrade
from aden.core.request import Request
from aden.core.usage import Usage
from aden.instrumentation.openai import chat
from aden.metering.attempt import Attempt
from aden.metering.call import Lane as CallLane
from aden.metering.pricing import bill
from aden.testing import OpenAIServer
from house import House

HELLO: Any = [{"role": "user", "content": "Hello in 12 tokens."}]


@pytest.fixture
def client(server: OpenAIServer) -> openai.OpenAI:
    """A client of the local server, whose host belongs to no provider."""
    return openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)


def _prices(tmp_path: Path, text: str) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return str(path)


def _free_here(server: OpenAIServer) -> str:
    return f'[[price]]\nhost = "{urlsplit(server.base_url).netloc}"\nmodel = "*"\nfree = true\n'


def test_a_free_local_model_is_allowed_under_an_exhausted_budget(
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
    tmp_path: Path,
) -> None:
    """And the hook sees that it fits."""
    seen: list[object] = []

    def look(_params: Any, context: Any) -> Any:
        seen.append((context.budget["percent_used"], context.budget["exhausted"]))
        return aden.BeforeRequestResult.proceed()

    prices = _prices(tmp_path, _free_here(server))
    house = instrumented(budgets=[Budget("all", 1)], prices=prices, before_request=look)
    spend(house, 1)
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    record, span = house.one_call()
    assert (record.cost, record.price_source) == (0, "user")
    assert span.attributes is not None
    assert span.attributes["aden.price.source"] == "user"
    assert seen == [(100.0, False)]


def test_a_free_model_passes_where_a_dear_one_was_just_refused(
    server: OpenAIServer,
    client: openai.OpenAI,
    instrumented: Callable[..., House],
    tmp_path: Path,
) -> None:
    """What is remembered of a refusal does not hold for what asks less."""
    text = _free_here(server).replace('"*"', '"house-model"')
    house = instrumented(budgets=[Budget("all", 1)], prices=_prices(tmp_path, text))
    spend(house, 1)
    for _ in range(3):
        with pytest.raises(aden.RequestCancelledError):
            client.chat.completions.create(model="gpt-4o", messages=HELLO)
        client.chat.completions.create(model="house-model", messages=HELLO)
    assert len(server.requests) == 3


def test_without_a_price_of_its_own_it_is_refused_there(
    client: openai.OpenAI, instrumented: Callable[..., House]
) -> None:
    """The other half: the budget is exhausted indeed."""
    spend(instrumented(budgets=[Budget("all", 1)]), 1)
    with pytest.raises(aden.RequestCancelledError):
        client.chat.completions.create(model="gpt-4o", messages=HELLO)


def test_the_tier_that_answered_is_the_one_that_is_billed(
    client: openai.OpenAI, instrumented: Callable[..., House], server: OpenAIServer
) -> None:
    """Asked for priority, answered in the default tier: reserved dearly, billed plainly."""
    house = instrumented()
    stream = client.chat.completions.create(
        model="gpt-4o", messages=HELLO, service_tier="priority", max_tokens=100, stream=True
    )
    held = house.balance().held
    assert len(list(stream)) > 1
    assert held > 100 * 17_000 > 100 * 10_000
    (record,) = house.settled()
    assert record.cost == server.bill.total_nano_usd


@pytest.mark.parametrize(
    ("asked", "answered", "factor"),
    [
        (None, None, 1.0),
        ("auto", "default", 1.0),
        ("auto", "priority", 1.7),
        ("priority", "priority", 1.7),
        ("priority", None, 1.7),
        ("priority", "default", 1.0),
    ],
)
@pytest.mark.parametrize("how", ["plain", "stream"])
def test_a_response_s_tier_stands_above_the_request_s(
    asked: str | None,
    answered: str | None,
    factor: float,
    how: str,
    instrumented: Callable[..., House],
) -> None:
    """In whole answers and in the chunk that brings the usage."""
    meter = instrumented().meter
    call = meter.begin(Request("openai", "gpt-4o", service_tier=asked), {}, CallLane())
    attempt: Attempt = call.attempt(call.request)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    answer = {"id": "r", "model": "gpt-4o", "choices": [], "usage": usage}
    if answered is not None:
        answer["service_tier"] = answered
    if how == "plain":
        chat.read(attempt, answer)
    else:
        chat.feed(attempt, answer, False)
    assert bill(call, meter.estimator, meter.prices).amounts.usd == round(3_500_000 * factor)


def test_what_is_priced_in_another_unit_than_its_own_is_marked_as_an_estimate(
    instrumented: Callable[..., House],
) -> None:
    """A transcription of which only the seconds are known."""
    meter = instrumented().meter
    call = meter.begin(Request("openai", "gpt-4o-transcribe"), {}, CallLane())
    call.attempt(call.request).saw_usage(Usage(audio_input_ms=30_000))
    billed = bill(call, meter.estimator, meter.prices)
    assert (billed.amounts.usd, billed.source) == (3_000_000, "bridge")
    assert billed.amounts.usage.estimated
    assert (billed.amounts.of("seconds"), billed.amounts.of("tokens")) == (30_000, 0)


def test_a_price_for_a_block_is_that_of_its_calls_however_late_they_end(
    client: openai.OpenAI, instrumented: Callable[..., House]
) -> None:
    """A stream that is read outside of the block began in it."""
    house = instrumented()
    with aden.priced(per_request="0.01"):
        stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    assert house.balance().held == 10_000_000
    assert list(stream)
    record, _ = house.one_call()
    assert (record.cost, record.price_source) == (10_000_000, "override")
    assert house.balance().spent == 10_000_000


def test_a_misspelt_model_of_a_ladder_or_a_hook_is_named(
    client: openai.OpenAI, instrumented: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    """Before it costs a fortune, or never comes about."""
    instrumented(
        budgets=[Budget("all", "100", ladder=[Degrade(99, "gpt-4o-mnii")])],
        before_request=lambda *_: aden.BeforeRequestResult.degrade("gpt-4.1-mnii", "cheaper"),
    )
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    said = [each.getMessage() for each in caplog.records if each.name == "aden.pricing"]
    assert len(said) == 2
    assert "'gpt-4o-mnii'" in said[0]
    assert "did you mean gpt-4o-mini?" in said[0]
    assert "'gpt-4.1-mnii'" in said[1]


def test_a_broken_prices_file_is_refused_by_instrument(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the environment too; nothing has changed then."""
    monkeypatch.setenv("ADEN_PRICES", _prices(tmp_path, "[[price]]\nmodel = 3\n"))
    with pytest.raises(ConfigurationError, match=r"prices\.toml: price 1"):
        aden.instrument(ledger="memory:")


def test_a_stored_prompt_without_a_model_costs_what_the_model_does_that_answered(
    instrumented: Callable[..., House],
) -> None:
    """The prompt names it, at the provider; nobody's dearest rate has to stand for it."""
    house = instrumented()
    answer = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4o-2024-08-06",
        "status": "completed",
        "output": [],
        "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
    }
    with WireServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        server.body = Body.json(answer)
        client.responses.create(prompt={"id": "pmpt_1"}, input="Hi")
    record, _ = house.one_call()
    assert record.cost == house.balance().spent == 1000 * 2_500 + 100 * 10_000
