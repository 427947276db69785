"""Whatever ratio is sampled, calls that matter are shown, and none is decided otherwise."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

import aden
from aden import BeforeRequestResult
from aden.otel.sampler import AdenSampler, KeptSpans, by_ratio
from otlp_sink import OTLPSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aden.testing import OpenAIServer


class Shown:
    """Aden on a provider with our sampler, and what was exported."""

    def __init__(self, server: OpenAIServer, delegate: Sampler, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=AdenSampler(delegate), shutdown_on_exit=False)
        kept = KeptSpans(SimpleSpanProcessor(self.exporter), expensive_usd=0.01)
        self.provider.add_span_processor(kept)
        settings = {"ledger": "memory:", "budgets": [aden.Budget("all", 1)]} | options
        aden.AdenInstrumentor().instrument(tracer_provider=self.provider, **settings)
        self.client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)

    def ask(self, words: str = "Say 20 tokens", **parameters: Any) -> None:
        """One call, inside a span of the application's."""
        with self.provider.get_tracer("app").start_as_current_span("app"):
            self.client.chat.completions.create(
                **({"model": "gpt-4o"} | parameters),
                messages=[{"role": "user", "content": words}],
            )

    @property
    def spans(self) -> list[tuple[str, Any]]:
        """Name and decision of what was exported."""
        return [
            (span.name, (span.attributes or {}).get("aden.decision.action"))
            for span in self.exporter.get_finished_spans()
        ]


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    yield
    aden.AdenInstrumentor().uninstrument()


def test_an_ordinary_call_is_as_the_delegate_says(server: OpenAIServer) -> None:
    """Dropped with its trace, or sampled with it."""
    dropped = Shown(server, ALWAYS_OFF)
    dropped.ask()
    assert dropped.spans == []
    aden.AdenInstrumentor().uninstrument()
    sampled = Shown(server, ALWAYS_ON)
    sampled.ask()
    assert sampled.spans == [("chat gpt-4o", "allow"), ("app", None)]


def test_a_refused_call_is_kept(server: OpenAIServer) -> None:
    """Alone: what else its trace had is dropped."""
    shown = Shown(server, ALWAYS_OFF, budgets=[aden.Budget("all", 0)])
    with pytest.raises(aden.RequestCancelledError):
        shown.ask()
    assert shown.spans == [("chat gpt-4o", "block")]
    (span,) = shown.exporter.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_flags.sampled
    assert (span.attributes or {})["gen_ai.operation.name"] == "chat"


def test_a_degraded_call_is_kept(server: OpenAIServer) -> None:
    """By the model that was sent."""
    shown = Shown(
        server,
        ALWAYS_OFF,
        before_request=lambda *_: BeforeRequestResult.degrade(to_model="gpt-4o-mini"),
    )
    shown.ask()
    assert shown.spans == [("chat gpt-4o-mini", "degrade")]


def test_a_failed_call_is_kept(server: OpenAIServer) -> None:
    """Whatever failed."""
    shown = Shown(server, ALWAYS_OFF)
    with pytest.raises(openai.NotFoundError):
        shown.client.with_options(base_url=server.base_url + "/nowhere").chat.completions.create(
            model="gpt-4o", messages=[]
        )
    assert shown.spans == [("chat gpt-4o", "allow")]


def test_an_expensive_call_is_kept(server: OpenAIServer) -> None:
    """From the amount that was named: a thousand tokens of output cost a cent."""
    shown = Shown(server, ALWAYS_OFF)
    shown.ask("Say 900 tokens")
    assert shown.spans == []
    shown.ask("Say 1100 tokens")
    assert shown.spans == [("chat gpt-4o", "allow")]


class Within(httpx2.HTTPTransport):
    """An HTTP client that somebody else has instrumented."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__()
        self._provider = provider
        self.recorded: list[bool] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Open a span below the call."""
        with self._provider.get_tracer("http").start_as_current_span("POST") as span:
            self.recorded.append(span.is_recording())
            return super().handle_request(request)


def test_only_the_call_s_own_span_is_recorded(server: OpenAIServer) -> None:
    """What is below it costs what a dropped span costs."""
    shown = Shown(server, ALWAYS_OFF)
    transport = Within(shown.provider)
    http = httpx2.Client(transport=transport)
    shown.client = openai.OpenAI(base_url=server.base_url, api_key="k", http_client=http)
    shown.ask()
    http.close()
    assert transport.recorded == [False]


def test_budgets_see_every_call(server: OpenAIServer) -> None:
    """To the nano-dollar, whatever is shown."""
    shown = Shown(server, ALWAYS_OFF)
    for _ in range(3):
        shown.ask()
    aden.flush()
    runtime = aden.runtime.current_runtime()
    assert runtime is not None
    spent = sum(record.cost for record in runtime.meter.ledger.journal())
    assert spent == server.bill.total_nano_usd > 0


@pytest.mark.parametrize(
    ("argument", "ratio"),
    [("0.25", "0.25"), (None, "1.0"), ("", "1.0"), ("x", "1.0"), ("7", "1.0")],
)
def test_its_argument_is_a_share_of_traces(argument: str | None, ratio: str) -> None:
    """What is none means all, as with OpenTelemetry's own."""
    assert f"TraceIdRatioBased{{{ratio}}}" in by_ratio(argument).get_description()


PROGRAM = """\
import sys, openai, aden
aden.instrument(ledger="memory:", budgets=[aden.Budget("all", "0.002")])
client = openai.OpenAI(base_url=sys.argv[1], api_key="k", max_retries=0)
ask = client.chat.completions.create
message = [{"role": "user", "content": "Say 20 tokens"}]
ask(model="gpt-4o", messages=message, max_tokens=50)
try:
    ask(model="gpt-4o", messages=message, max_tokens=4000)
except aden.RequestCancelledError:
    print("refused")
"""


def test_opentelemetrys_variable_chooses_it(server: OpenAIServer) -> None:
    """Where the provider is ours."""
    with OTLPSink() as sink:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.base_url],
            env={
                "PYTHONPATH": ":".join(sys.path),
                "OTEL_TRACES_SAMPLER": "aden",
                "OTEL_TRACES_SAMPLER_ARG": "0",
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout == "refused\n"
    assert "sampler" not in done.stderr
    (span,) = sink.spans
    assert span.attributes["aden.decision.action"] == "block"
    ((event, said),) = sink.events  # not sampled at all
    assert event == "aden.refusal"
    assert said["aden.budget.id"] == "all"
