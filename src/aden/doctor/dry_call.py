"""Proof that the gate holds: requests that a budget of 0 has to refuse before anything is sent."""

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.trace import NoOpTracerProvider

from aden.budgets.budget import Budget
from aden.budgets.policy import make_policy
from aden.doctor.finding import Finding
from aden.doctor.subject import Subject
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter, set_active_meter
from aden.ledger import open_ledger
from aden.metering.dispatch import Dispatcher
from aden.metering.meter import Meter
from aden.telemetry.telemetry import Telemetry

TIMEOUT_S = 1.0
"""Where the gate does not hold, a request waits so long for an answer that never comes."""
_MESSAGES: Any = [{"role": "user", "content": "aden doctor"}]


def dry_call(subject: Subject) -> Iterable[Finding]:
    """Ask a local socket through the installed SDK; the gate may let nothing reach it."""
    if importlib.util.find_spec("openai") is None:
        yield Finding("gate", "dry call", "openai is not installed: there is nothing to call")
        return
    with _socket() as listener, _zero_budget(subject):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        ended = {name: _ended(call, url) for name, call in _CALLS.items()}
        sent = _was_asked(listener)
    facts = {"calls": ended, "sent": sent}
    through = [name for name, end in ended.items() if end != "refused"]
    if through or sent:
        which = ", ".join(f"{name} ({ended[name]})" for name in through) or "something was sent"
        said = f"a budget of 0 did not refuse {which}: requests are not gated"
        yield Finding("gate", "dry call", said, "failure", facts)
    else:
        said = f"{len(ended)} requests against a budget of 0 were refused, none was sent"
        yield Finding("gate", "dry call", said, facts=facts)


def _chat(url: str) -> None:
    with _client(url) as client:
        client.chat.completions.create(model="gpt-4o", messages=_MESSAGES)


def _stream(url: str) -> None:
    with _client(url) as client:
        client.chat.completions.create(model="gpt-4o", messages=_MESSAGES, stream=True)


def _response(url: str) -> None:
    with _client(url) as client:
        client.responses.create(model="gpt-4o", input="aden doctor")


def _embedding(url: str) -> None:
    with _client(url) as client:
        client.embeddings.create(model="text-embedding-3-small", input="aden doctor")


def _async_chat(url: str) -> None:
    async def ask() -> None:
        import openai

        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        async with openai.AsyncOpenAI(base_url=url, http_client=http, **_ARGUMENTS) as client:
            await client.chat.completions.create(model="gpt-4o", messages=_MESSAGES)

    asyncio.run(ask())


_CALLS: Mapping[str, Callable[[str], None]] = {
    "chat": _chat,
    "streamed chat": _stream,
    "async chat": _async_chat,
    "response": _response,
    "embedding": _embedding,
}
_ARGUMENTS: Mapping[str, Any] = {
    "api_key": "aden-doctor",
    "max_retries": 0,
    "timeout": TIMEOUT_S,
}


def _client(url: str) -> Any:
    import openai

    # No proxy of the environment: what slips through must not leave this host.
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=url, http_client=http, **_ARGUMENTS)


def _ended(call: Callable[[str], None], url: str) -> str:
    try:
        call(url)
    except RequestCancelledError:
        return "refused"
    except Exception as error:
        return type(error).__name__
    return "answered"


@contextlib.contextmanager
def _zero_budget(subject: Subject) -> Iterator[None]:
    """A gate that refuses everything that costs, for a moment; nothing of it is shown or booked."""
    policy = make_policy((Budget("aden-doctor", 0),))
    telemetry = Telemetry(
        subject.version,
        tracer_provider=NoOpTracerProvider(),
        counted_in=(),
        logger_provider=NoOpLoggerProvider(),
    )
    ledger = open_ledger("memory:")
    meter = Meter(lambda: policy, ledger, telemetry, Dispatcher(), prices=subject.meter.prices)
    before = active_meter()
    set_active_meter(meter)
    try:
        yield
    finally:
        set_active_meter(before)
        ledger.close()


@contextlib.contextmanager
def _socket() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def _was_asked(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True
