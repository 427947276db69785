"""What our own metrics and events say, through the real SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

import aden
from aden.runtime import current_runtime
from otel_kit import Sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aden.testing import OpenAIServer

    Start = Callable[..., Sdk]


@pytest.fixture
def start() -> Iterator[Callable[..., Sdk]]:
    """Aden on an SDK in memory; the keywords are options."""

    def instrument(**options: Any) -> Sdk:
        sdk = Sdk()
        settings = {"ledger": "memory:", "budgets": [aden.Budget("all", "1")]} | options
        aden.AdenInstrumentor().instrument(**sdk.providers, **settings)
        return sdk

    yield instrument
    aden.AdenInstrumentor().uninstrument()


def ask(server: OpenAIServer, **parameters: Any) -> Any:
    """One call of the SDK."""
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        return client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Say 20 tokens"}], **parameters
        )


def points(sdk: Sdk, name: str) -> dict[tuple[Any, ...], Any]:
    """The data points of a metric, by the values of their attributes."""
    data = sdk.reader.get_metrics_data()
    found = [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return {tuple(value for _, value in sorted((p.attributes or {}).items())): p for p in found}


def test_how_full_budgets_are_is_read_from_the_ledger(server: OpenAIServer, start: Start) -> None:
    """What is spent, and what open requests hold; of a template the fullest label, by the id."""
    sdk = start(
        budgets=[
            aden.Budget("all", "0.01"),
            aden.Budget("each", "0.001", scope={"customer": aden.ANY}),
        ]
    )
    for customer, calls in (("a", 1), ("b", 2)):
        with aden.attribution(customer_id=customer):
            for _ in range(calls):
                ask(server, max_tokens=20)
    with aden.attribution(customer_id="a"):
        stream = ask(server, stream=True, max_tokens=50)
        shown = {key: point.value for key, point in points(sdk, "aden.budget.utilization").items()}
        assert points(sdk, "aden.ledger.holds")[()].value == 1
        stream.close()
        assert points(sdk, "aden.ledger.holds")[()].value == 0

    one = server.bill.items[0].nano_usd
    assert one is not None
    assert set(shown) == {(b, s) for b in ("all", "each") for s in ("spent", "reserved")}
    assert shown["all", "spent"] == pytest.approx(3 * one / 1e7)
    assert shown["each", "spent"] == pytest.approx(2 * one / 1e6)
    assert shown["each", "reserved"] == pytest.approx(10 * shown["all", "reserved"])
    assert shown["all", "reserved"] > 50 * 10_000 / 1e7  # the output alone


def test_an_idle_process_does_not_ask_the_ledger(
    server: OpenAIServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may use the budget meanwhile, and show it."""
    sdk = start()
    ask(server)
    assert points(sdk, "aden.budget.utilization")
    monkeypatch.setattr("aden.metering.fill.SHOWN_FOR_S", 0.0)
    assert points(sdk, "aden.budget.utilization") == points(sdk, "aden.ledger.holds") == {}


def test_after_a_new_configuration_its_budgets_are_shown(
    server: OpenAIServer, start: Start
) -> None:
    """Although the SDK keeps the first callback of an instrument."""
    sdk = start()
    ask(server)
    aden.AdenInstrumentor().instrument(
        **sdk.providers, ledger="memory:", budgets=[aden.Budget("new", 1)]
    )
    ask(server)
    assert {key[0] for key in points(sdk, "aden.budget.utilization")} == {"new"}


def test_each_answer_of_the_ledger_is_timed(server: OpenAIServer, start: Start) -> None:
    """By what it answered."""
    sdk = start(budgets=[aden.Budget("all", "0.0005")])
    ask(server, max_tokens=20)
    for _ in range(2):
        with pytest.raises(aden.RequestCancelledError):
            ask(server, max_tokens=4000)
    timed = points(sdk, "aden.ledger.reserve.duration")
    # The second refusal was answered from memory, and the ledger not asked.
    assert {key: point.count for key, point in timed.items()} == {
        ("granted", "memory"): 1,
        ("refused", "memory"): 1,
    }
    assert 0 < timed["granted", "memory"].sum < 0.1


def test_a_refusal_is_an_event_without_content(server: OpenAIServer, start: Start) -> None:
    """Once for those that repeat; of the call's own span."""
    sdk = start(budgets=[aden.Budget("each", 0, scope={"customer": aden.ANY})])
    with aden.attribution(customer_id="acme"):
        for _ in range(3):
            with pytest.raises(aden.RequestCancelledError):
                ask(server)
    aden.flush()
    first, repeated = [each.log_record for each in sdk.logs.get_finished_logs()]
    assert first.event_name == repeated.event_name == "aden.refusal"
    assert first.severity_text is None
    assert first.severity_number is not None
    assert first.severity_number.name == "WARN"
    assert first.body is None
    runtime = current_runtime()
    assert runtime is not None
    records = list(runtime.meter.ledger.journal())
    assert dict(first.attributes or {}) == {
        "aden.decision.action": "block",
        "aden.decision.reason": "exhausted",
        "aden.decision.source": "ledger",
        "aden.call.id": records[0].id,
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "aden.budget.id": "each",
        "aden.budget.scope": "customer=acme",
        "aden.ledger.reach": "process",
    }
    assert (repeated.attributes or {})["aden.decision.repeats"] == 2
    spans = {span.context.span_id for span in sdk.spans if span.context}
    assert {first.span_id, repeated.span_id} == spans


@pytest.mark.parametrize("opted_in", [False, True])
def test_cost_by_the_proposed_names_is_opted_in(
    opted_in: bool, server: OpenAIServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not a part of the conventions yet."""
    if opted_in:
        monkeypatch.setenv("ADEN_SEMCONV_OPT_IN", "gen_ai_cost")
    sdk = start()
    ask(server)
    (span,) = sdk.spans
    said = dict(span.attributes or {})
    proposed = {name: value for name, value in said.items() if ".cost." in name[len("aden.") :]}
    assert ("gen_ai.usage.cost.amount" in said) is opted_in
    if opted_in:
        assert proposed == {
            "gen_ai.usage.cost.amount": said["aden.cost.usd"],
            "gen_ai.usage.cost.currency": "USD",
            "gen_ai.usage.cost.source": "local",
        }


def test_an_unknown_cost_has_no_proposed_amount(
    server: OpenAIServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A floor is what a budget counts, not what the call cost."""
    monkeypatch.setenv("ADEN_SEMCONV_OPT_IN", "gen_ai_cost")
    sdk = start(budgets=[aden.Budget("all", "5")])
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        client.chat.completions.create(
            model="no-such-model", messages=[{"role": "user", "content": "Hi"}], max_tokens=5
        )
    (span,) = sdk.spans
    assert (span.attributes or {})["aden.price.source"] == "floor"
    assert "gen_ai.usage.cost.amount" not in (span.attributes or {})
