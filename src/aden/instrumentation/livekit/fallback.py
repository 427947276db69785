"""``llm.FallbackAdapter``: it asks one LLM after the other, and each of these requests is gated.

A refusal is no fault of a provider: left alone, LiveKit would take the refused LLM for ill, ask it
again in the background, and where all are refused try four rounds of them in as many seconds and
raise an error of its own.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aden.errors import RequestCancelledError
from aden.instrumentation.livekit.turn import meant


@dataclass(slots=True)
class Round:
    """One pass of an adapter over its LLMs."""

    sent: bool = False
    """Some request of this round was let through."""
    refusals: dict[int, RequestCancelledError] = field(default_factory=dict)
    """By the identity of the refused LLM, in the order in which they were asked."""


_round: ContextVar[Round | None] = ContextVar("aden_fallback_round", default=None)


def admitted() -> None:
    """A request was let through."""
    if (this := _round.get()) is not None:
        this.sent = True


def refused(llm: Any, refusal: RequestCancelledError) -> bool:
    """A request to *llm* was refused; True where an adapter goes on to the next."""
    if (this := _round.get()) is not None:
        this.refusals[id(llm)] = refusal
    return this is not None


def guard(stream: Any) -> None:
    """Where an adapter's whole round is refused, let it fail with the refusal, at once."""
    run: Callable[[], Awaitable[None]] = stream._run
    emit_error = stream._emit_error

    async def _run() -> None:
        this = Round()
        token = _round.set(this)
        try:
            await run()
        except Exception as error:
            if this.refusals and not this.sent:
                refusal = next(iter(this.refusals.values()))
                await meant(refusal)
                raise refusal from error
            raise
        finally:
            _round.reset(token)

    def _emit_error(error: Exception, recoverable: bool) -> None:
        emit_error(error, recoverable or isinstance(error, RequestCancelledError))

    stream._run = _run
    stream._emit_error = _emit_error


def try_recovery(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``FallbackLLMStream._try_recovery``: a refused LLM is well."""
    this = _round.get()
    llm = args[0] if args else kwargs["llm"]
    if this is not None and id(llm) in this.refusals:
        adapter = stream._fallback_adapter
        adapter._status[adapter._llm_instances.index(llm)].available = True
        return
    token = _round.set(None)  # what the probe meets is not this round's
    try:
        wrapped(*args, **kwargs)
    finally:
        _round.reset(token)
