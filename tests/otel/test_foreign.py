"""Calls of other providers' SDKs, told of by their own instrumentors: booked once, or not at all.

The spans are made by opentelemetry-util-genai, the engine of those instrumentors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.util.genai.handler import TelemetryHandler

import aden
from aden import Budget, RequestCancelledError
from aden.otel.foreign import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aden.testing import OpenAIServer
    from house import House

ANTHROPIC, GOOGLE = SCOPES
NANO_USD = 100 * 3_000 + 50 * 300 + 20 * 3_750 + 30 * 15_000
"""Claude Sonnet 4.5: $3 in, $0.30 cached, $3.75 written to the cache, $15 out a million tokens
(https://platform.claude.com/docs/en/about-claude/pricing, November 2026)."""


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    """A provider that both instrumentations use."""
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    yield tracer_provider
    aden.uninstrument()


def tell(provider: TracerProvider, scope: str = ANTHROPIC, **said: Any) -> None:
    """One call as *scope* shows it."""
    handler = TelemetryHandler(tracer_provider=provider, instrumentation_scope_name=scope)
    call = handler.inference("anthropic", request_model="claude-sonnet-4-5")
    call.response_model_name, call.response_id = "claude-sonnet-4-5-20250929", "msg_1"
    usage = {
        "input_tokens": 170,
        "output_tokens": 30,
        "cache_read_input_tokens": 50,
        "cache_write_input_tokens": 20,
    }
    for name, value in (usage | said).items():
        setattr(call, name, value)
    call.stop()


def test_a_call_is_priced_and_booked_once(
    provider: TracerProvider, instrumented: Callable[..., House]
) -> None:
    """Marked as told by another instrumentation, on the account of whoever it was made for."""
    house = instrumented(
        tracer_provider=provider,
        budgets=[
            Budget("all", 1),
            Budget("each", 1, scope={"customer": aden.ANY}),
            Budget("openai", 1, scope={"provider": "openai"}),
        ],
    )
    with aden.attribution(customer_id="acme"):
        tell(provider)
    aden.flush()
    (record,) = house.calls.records
    assert record.cost == NANO_USD
    assert (record.decision.action, record.decision.source) == ("allow", "foreign")
    assert (record.provider, record.model) == ("anthropic", "claude-sonnet-4-5")
    assert record.response_id == "msg_1"
    assert record.usage.input_tokens == 170
    assert not record.usage.estimated
    assert record.attribution.customer_id == "acme"
    (span,) = house.spans
    assert span.context is not None
    assert record.span_id == f"{span.context.span_id:016x}"
    assert house.balance("all").spent == house.balance("each|customer=acme").spent == NANO_USD
    assert house.balance("openai").spent == 0
    assert [each.id for each in house.ledger.journal()] == [record.id]
    (cost,) = house.metric("aden.client.cost")
    assert cost.value == pytest.approx(NANO_USD / 1e9)


def test_what_was_told_counts_for_the_next_request(
    provider: TracerProvider, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The call itself is not gated: it has been made when its span ends."""
    house = instrumented(tracer_provider=provider, budgets=[Budget("all", "0.001")])
    for _ in range(2):
        tell(provider)
    assert house.balance().spent == 2 * NANO_USD > 10**6
    with (
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        pytest.raises(RequestCancelledError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=[])


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("opentelemetry.instrumentation.genai.openai", {}),
        ("opentelemetry.instrumentation.genai.langchain", {}),
        ("my.app", {}),
        (ANTHROPIC, {"input_tokens": None, "output_tokens": None}),
        (ANTHROPIC, {"attributes": {"aden.call.id": "x"}}),
    ],
)
def test_what_may_be_counted_elsewhere_is_not_booked(
    scope: str, said: dict[str, Any], provider: TracerProvider, instrumented: Callable[..., House]
) -> None:
    """Of an SDK that is wrapped, of a framework above one, without usage, with our figures."""
    house = instrumented(tracer_provider=provider)
    if said.get("input_tokens", 1) is None:
        said |= {"cache_read_input_tokens": None, "cache_write_input_tokens": None}
    tell(provider, scope, **said)
    assert house.settled(0) == ()
    assert len(house.spans) == 1


def test_an_agent_s_span_is_not_a_call(
    provider: TracerProvider, instrumented: Callable[..., House]
) -> None:
    """Its usage is the sum over calls."""
    house = instrumented(tracer_provider=provider)
    with provider.get_tracer(GOOGLE).start_as_current_span("invoke_agent") as span:
        span.set_attribute("gen_ai.operation.name", "invoke_agent")
        span.set_attribute("gen_ai.usage.input_tokens", 5)
    assert house.settled(0) == ()


class Within(httpx2.HTTPTransport):
    """A request below which another instrumentation sees a call of its own."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__()
        self._provider = provider

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """As LiveKit's anthropic plugin asks inside a Call of ours."""
        span = self._provider.get_tracer(ANTHROPIC).start_span("chat claude")
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.usage.input_tokens", 100)
        span.set_attribute("gen_ai.usage.output_tokens", 100)
        span.end()
        return super().handle_request(request)


def test_below_a_call_of_ours_nothing_is_booked_again(
    provider: TracerProvider, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """One request, one charge."""
    house = instrumented(tracer_provider=provider)
    http = httpx2.Client(transport=Within(provider))
    with openai.OpenAI(base_url=server.base_url, api_key="k", http_client=http) as client:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
        )
    (record,) = house.settled(1)
    assert record.cost == server.bill.total_nano_usd
    assert len(house.spans) == 2


def test_it_can_be_switched_off(
    provider: TracerProvider,
    instrumented: Callable[..., House],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And ends with our instrumentation, though the processor stays on the provider."""
    monkeypatch.setenv("ADEN_METER_FOREIGN_SPANS", "false")
    house = instrumented(tracer_provider=provider)
    tell(provider)
    assert house.settled(0) == ()
    aden.uninstrument()
    tell(provider)
    aden.flush()
    assert house.calls.records == ()


def test_what_is_not_recorded_is_not_seen(instrumented: Callable[..., House]) -> None:
    """As the docs say: this way of metering is as complete as the spans are."""
    house = instrumented(tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False))
    tell(house.tracer_provider)
    assert house.settled(0) == ()


def test_the_processor_never_raises_into_the_call(
    provider: TracerProvider,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """A span that nobody expected is told of in the log."""
    house = instrumented(tracer_provider=provider)
    house.meter.policy = None  # type: ignore[assignment]
    tell(provider)
    assert any("told of a call" in line for line in complaints())
