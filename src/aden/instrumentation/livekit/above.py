"""Streams above other streams: ``llm.FallbackAdapter``, and an LLM of the program that asks others.

The outermost one is asked once, for all budgets that are not of a model or a provider; those are
asked where it is known which model is to be sent what, so that their refusal is a failover. A
refusal is no fault of a provider: left alone, LiveKit would take the refused LLM for ill, ask it
again in the background, and where all are refused try four rounds of them in as many seconds and
raise an error of its own.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aden.errors import RequestCancelledError
from aden.instrumentation.livekit.turn import current_turn
from aden.metering.call import Call


@dataclass(slots=True)
class Above:
    """A stream whose own code runs: the streams that it asks are a part of it."""

    call: Call
    open: bool = True
    sent: bool = False
    """Some request below was let through."""
    refusals: dict[int, RequestCancelledError] = field(default_factory=dict)
    """By the identity of the refused LLM, in the order in which they were asked."""


_above: ContextVar[Above | None] = ContextVar("aden_above", default=None)


def is_adapter(stream: Any) -> bool:
    """A stream that sends nothing itself."""
    return type(stream)._genai_operation_name is None


def stream_above() -> Above | None:
    """The stream of which what is asked here is a part."""
    above = _above.get()
    return above if above is not None and above.open else None


@contextmanager
def running(stream: Any, call: Call) -> Iterator[None]:
    """The code of *stream* runs, by its *call*."""
    with below(call) as above:
        if is_adapter(stream):
            _guard(stream, above)
        yield


@contextmanager
def below(call: Call) -> Iterator[Above]:
    """What is asked in this block is a part of *call*, and settles in its place."""
    above = Above(call)
    token = _above.set(above)
    try:
        yield above
    finally:
        above.open = False
        _above.reset(token)


def _guard(stream: Any, above: Above) -> None:
    """Where an adapter's whole round is refused, let it fail with the refusal, at once."""
    run: Callable[[], Awaitable[None]] = stream._run

    async def _run() -> None:
        above.sent = False
        above.refusals.clear()
        try:
            await run()
        except Exception as error:
            if above.refusals and not above.sent:
                raise next(iter(above.refusals.values())) from error
            raise

    stream._run = _run


def emit_error(wrapped: Callable[..., None], _stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``LLMStream._emit_error``: LiveKit takes a refusal from below for a fault.

    The fourth unrecoverable error in a row closes a session. `llm.main_task` tells of a refusal
    itself, once, as recoverable.
    """
    error, recoverable = args[0] if args else kwargs["api_error"], (*args, False, False)[1]
    recoverable = kwargs.get("recoverable", recoverable)
    if recoverable or not isinstance(error, RequestCancelledError):
        wrapped(*args, **kwargs)


def try_recovery(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``FallbackLLMStream._try_recovery``: a refused LLM is well.

    The probe of another one is a request of its own, nobody's answer: its refusal is not told.
    """
    above = stream_above()
    llm = args[0] if args else kwargs["llm"]
    if above is not None and id(llm) in above.refusals:
        _is_well(stream._fallback_adapter, llm)
        return
    token, turn = _above.set(None), current_turn.set(None)
    try:
        wrapped(*args, **kwargs)
    finally:
        _above.reset(token)
        current_turn.reset(turn)


def _is_well(adapter: Any, llm: Any) -> None:
    """Take back that *llm* is ill, also where the application has heard it."""
    status = adapter._status[adapter._llm_instances.index(llm)]
    if not status.available:
        from livekit.agents.llm import AvailabilityChangedEvent

        status.available = True
        adapter.emit("llm_availability_changed", AvailabilityChangedEvent(llm, True))
