"""No sampler, provider, context or client lets a request past its budget, and none counts it twice.

Each way of breaking telemetry is tried with an exhausted budget and with one that bears the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from guide import spend
from lanes import make_client
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from shapes import REQUEST

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.otel.sampler import AdenSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aden.testing import OpenAIServer
    from house import House

    Ask = Callable[[OpenAIServer], Any]


def ask(server: OpenAIServer) -> Any:
    """One request of a client of its own."""
    return make_client("sync", server).chat.completions.create(**REQUEST)


@contextlib.contextmanager
def unsampled_parent() -> Iterator[None]:
    """A remote caller that is not traced."""
    span = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(0))
    context = trace.set_span_in_context(trace.NonRecordingSpan(span))
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def below_an_unsampled_parent(server: OpenAIServer) -> Any:
    """As a service in the middle of an untraced request."""
    with unsampled_parent():
        return ask(server)


def while_instrumentation_is_suppressed(server: OpenAIServer) -> Any:
    """OpenTelemetry's own switch for telemetry, which is not one for budgets."""
    with suppress_instrumentation():
        return ask(server)


def in_a_bare_thread(server: OpenAIServer) -> Any:
    """A worker thread inherits no context."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(ask(server))
        except RequestCancelledError as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


class MyOpenAI(openai.OpenAI):
    """A program's own client."""


def by_a_subclass(server: OpenAIServer) -> Any:
    """A subclassed client has the same methods."""
    client = MyOpenAI(base_url=server.base_url, api_key="key", max_retries=0)
    return client.chat.completions.create(**REQUEST)


def by_a_copy_with_options(server: OpenAIServer) -> Any:
    """``with_options`` makes another client."""
    client = make_client("sync", server).with_options(timeout=5)
    return client.chat.completions.create(**REQUEST)


def by_an_async_client(server: OpenAIServer) -> Any:
    """On an event loop of its own."""

    async def go() -> Any:
        async with make_client("async", server) as client:
            return await client.chat.completions.create(**REQUEST)

    return asyncio.run(go())


def on_a_loop_below_an_unsampled_parent(server: OpenAIServer) -> Any:
    """As a web framework's handler for an untraced request."""
    with unsampled_parent():
        return by_an_async_client(server)


def by_the_module(server: OpenAIServer) -> Any:
    """``openai.chat`` is a client too."""
    openai.api_key, openai.base_url = "key", server.base_url + "/"
    openai._reset_client()
    try:
        return openai.chat.completions.create(**REQUEST)
    finally:
        openai.api_key = openai.base_url = None
        openai._reset_client()


def shut_down() -> TracerProvider:
    """A provider that its app has shut down."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.shutdown()
    return provider


PROVIDERS: dict[str, Callable[[], Any]] = {
    "plain provider": lambda: None,
    "always off": lambda: TracerProvider(ALWAYS_OFF, shutdown_on_exit=False),
    "ratio 0": lambda: TracerProvider(TraceIdRatioBased(0), shutdown_on_exit=False),
    "records and never samples": lambda: TracerProvider(
        AdenSampler(ALWAYS_OFF), shutdown_on_exit=False
    ),
    "no-op provider": trace.NoOpTracerProvider,
    "provider shut down": shut_down,
}
WAYS: dict[str, tuple[str, Ask]] = {name: (name, ask) for name in PROVIDERS} | {
    way.__name__.replace("_", " "): ("plain provider", way)
    for way in (
        below_an_unsampled_parent,
        while_instrumentation_is_suppressed,
        in_a_bare_thread,
        by_a_subclass,
        by_a_copy_with_options,
        by_an_async_client,
        on_a_loop_below_an_unsampled_parent,
        by_the_module,
    )
}
every_way = pytest.mark.parametrize("way", WAYS)


class Count:
    """A hook that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, params: Any, context: Any) -> Any:
        self.asked += 1
        return BeforeRequestResult.proceed()


def start(instrumented: Callable[..., House], way: str, hook: Any) -> tuple[House, Ask]:
    """Instrument with the provider of *way*."""
    provider, use = WAYS[way]
    house = instrumented(
        tracer_provider=PROVIDERS[provider](), before_request=hook, budgets=[Budget("all", "1")]
    )
    return house, use


@every_way
def test_an_exhausted_budget_blocks(
    way: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Gated once, settled once, and nothing reaches the provider."""
    hook = Count()
    house, use = start(instrumented, way, hook)
    spend(house, 1)
    with pytest.raises(RequestCancelledError):
        use(server)
    assert (hook.asked, len(server.requests)) == (1, 0)
    house.settled(1)
    assert house.balance().spent == 10**9


@every_way
def test_an_affordable_request_is_metered_once(
    way: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Gated once, settled once, at the provider's own price."""
    hook = Count()
    house, use = start(instrumented, way, hook)
    assert use(server).usage.completion_tokens == 12
    assert (hook.asked, len(server.requests)) == (1, 1)
    (record,) = house.settled(1)
    assert record.cost == house.balance().spent == server.bill.total_nano_usd


def test_a_client_made_before_us_is_gated(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The methods are wrapped, not the clients: gated once, settled once."""
    client = make_client("sync", server)
    client.chat.completions.create(**REQUEST)
    hook = Count()
    house = instrumented(budgets=[Budget("all", "1")], before_request=hook)
    client.chat.completions.create(**REQUEST)
    (record,) = house.settled(1)
    assert record.cost == house.balance().spent == server.bill.total_nano_usd // 2
    spend(house, 1)
    with pytest.raises(RequestCancelledError):
        client.chat.completions.create(**REQUEST)
    house.settled(2)
    assert (hook.asked, len(server.requests)) == (2, 2)


PROGRAM = Path(__file__).with_name("law_two_program.py")
MODES = ("set before", "set after", "never set", "sdk disabled")


@pytest.mark.parametrize("mode", MODES)
def test_in_a_process_whose_app_owns_the_global_provider(mode: str) -> None:
    """A program of its own, for there is one global provider a process."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    if mode == "sdk disabled":
        env["OTEL_SDK_DISABLED"] = "true"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), mode],
        env=env,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout.decode().splitlines()[-1])
    spans = 2 if mode in ("set before", "set after") else 0
    assert said == {
        "blocked": True,
        "asked": 2,
        "requests": 1,
        "records": 2,
        "difference": 0,
        "spans": spans,
    }
