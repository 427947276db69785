"""``llm.DecisionModel``: a batch of decisions is one Call, whichever plugin asks for it.

The SDK inside, where there is one, finds the Call in its context and feeds it the wire's facts;
LiveKit Inference and other plugins send without one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from aden.core.estimate import text_size
from aden.core.request import Request
from aden.core.usage import Usage, token_count
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.above import below, stream_above
from aden.instrumentation.livekit.listening import listen
from aden.instrumentation.livekit.measuring import measure_context
from aden.instrumentation.livekit.plugin import address_of, provider_name
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS, refusal_class
from aden.instrumentation.livekit.speech import OPERATION, never_billed, show_refused
from aden.metering.above import hand_down
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.telemetry import names
from aden.telemetry.context import with_call
from aden.telemetry.spans import FrameworkSpan

Impl = Callable[..., Awaitable[Any]]
_NEARLY_S = 0.05
"""LiveKit's clock runs a little before ours. Better to settle too late for the span than too early:
a try after that would be no part of the call."""


async def evaluate(
    wrapped: Callable[..., Awaitable[Any]], model: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``DecisionModel.evaluate``: decide, let LiveKit send and retry, settle."""
    meter = active_meter()
    if meter is None or not kwargs.get("decisions"):  # LiveKit sends nothing then
        return await wrapped(*args, **kwargs)
    evaluation = _begin(meter, model, kwargs)
    if evaluation is None:
        return await wrapped(*args, **kwargs)
    await evaluation.admit()
    token = _evaluation.set(evaluation)
    try:
        return await wrapped(*args, **kwargs)
    except BaseException as error:
        evaluation.over(error)
        raise
    finally:
        _evaluation.reset(token)
        evaluation.over()


class _Evaluation:
    """One batch on its way."""

    def __init__(self, meter: Meter, model: Any, call: Call) -> None:
        self.call = call
        self.model = model
        self._meter = meter
        self._tries = 0

    async def admit(self) -> None:
        """Before LiveKit's time-out for each try begins, which a throttle would use up."""
        call, above = self.call, stream_above()
        try:
            if above is None or not hand_down(self._meter, above.call, call):
                await aadmit(self._meter, call)
        except RequestCancelledError as refusal:
            show_refused(self._meter, call, refusal)
            if above is not None:
                above.refusals[id(self.model)] = refusal
            raise
        except BaseException as error:
            self._meter.settle(call, error)
            raise
        if above is not None:
            above.sent = True

    async def attempt(self, impl: Impl, *args: Any, **kwargs: Any) -> Any:
        """LiveKit has the plugin send; its span is current."""
        call, told, began = self.call, len(self.call.attempts), time.perf_counter()
        call.span.bind(trace.get_current_span())
        self._tries += 1
        context = otel_context.attach(with_call(call))  # for the SDK inside
        try:
            with below(call):
                response = await impl(*args, **kwargs)
        except BaseException as error:
            if self._sent_here(told, began):
                _failed(call, error)
            if self._is_last(error, kwargs.get("conn_options"), began):
                self.over(error)  # now, while LiveKit's span is open
            raise
        finally:
            otel_context.detach(context)
        if self._sent_here(told, began):
            try:
                _answered(call, response)
            except Exception:
                self._meter.cannot("reader", "a decision could not be counted", trace=True)
        self.over()
        return response

    def _sent_here(self, told: int, began: float) -> bool:
        """Whether neither an SDK inside nor an LLM that was asked instead has made the attempt."""
        call = self.call
        if len(call.attempts) > told or not call.joinable:
            return False
        call.attempt(call.request).sent_at = began
        return True

    def _is_last(self, error: BaseException, options: Any, began: float) -> bool:
        """Whether LiveKit does not try again; its time-out reaches the plugin as a cancellation."""
        if isinstance(error, asyncio.CancelledError):
            left = getattr(options, "timeout", 0.0) - (time.perf_counter() - began)
            again = left < _NEARLY_S
        else:
            again = isinstance(error, TimeoutError) or getattr(error, "retryable", False)
        return not again or self._tries > getattr(options, "max_retry", 0)

    def over(self, error: BaseException | None = None) -> None:
        """Settle; what was not sent after all, since LiveKit found fault with it, is no call."""
        if self.call.attempts or not self.call.joinable:
            self._meter.settle(self.call, error)
        else:
            self._meter.settler.withdraw(self.call)


_evaluation: ContextVar[_Evaluation | None] = ContextVar("aden_evaluation", default=None)


def _begin(meter: Meter, model: Any, kwargs: Mapping[str, Any]) -> _Evaluation | None:
    try:
        asking = meter.asking()
        lane = Lane(refusal_class(), BUSY_WAIT_MS, asking.speaks, delayed=asking.delayed)
        request = _describe(model, kwargs)
        call = meter.begin(request, {"model": request.model, **kwargs}, lane, asking)
        call.span = FrameworkSpan({names.OPERATION_NAME: OPERATION})
        if "_evaluate_impl" not in vars(model):
            model._evaluate_impl = partial(_attempt, model, model._evaluate_impl)
            listen(meter, model, {"metrics_collected": _told}, "a decision model")
        return _Evaluation(meter, model, call)
    except Exception:
        meter.cannot("gate", "a decision could not be described", trace=True)
        return None


async def _attempt(model: Any, impl: Impl, *args: Any, **kwargs: Any) -> Any:
    evaluation = _evaluation.get()
    if evaluation is None or evaluation.model is not model:
        return await impl(*args, **kwargs)
    return await evaluation.attempt(impl, *args, **kwargs)


def _told(_metrics: Any) -> None:
    """LiveKit's last word on its span was the usage of the latest try."""
    evaluation = _evaluation.get()
    if evaluation is not None and isinstance(evaluation.call.span, FrameworkSpan):
        evaluation.call.span.write()


def _describe(model: Any, kwargs: Mapping[str, Any]) -> Request:
    """No published price says how a decision is billed: it is unknown until a usage is told."""
    asked, size, extra = kwargs.get("input"), 0, 0
    if isinstance(asked, str):
        size = text_size(asked)
    elif asked is not None:
        size, extra, _ = measure_context(asked)
    for name, decision in kwargs["decisions"].items():
        size += text_size(name) + sum(text_size(str(said)) for said in vars(decision).values())
    host, port = address_of(model)
    return Request(
        provider=provider_name(model),
        model=str(model.model or "unknown"),
        operation=OPERATION,
        input_chars=size,
        input_extra_tokens=extra,
        pinned=True,
        unlisted=True,
        server_address=host,
        server_port=port,
    )


def _answered(call: Call, response: Any) -> None:
    attempt = call.attempts[-1]
    attempt.over = True
    attempt.response_id = response.request_id or None
    attempt.response_model = response.model or None
    read, made = token_count(response.input_tokens), token_count(response.output_tokens)
    attempt.saw_usage(Usage(input_tokens=read, output_tokens=made))
    attempt.ended_unknown()  # where nothing was told


def _failed(call: Call, error: BaseException) -> None:
    attempt = call.attempts[-1]
    if not isinstance(error, Exception):
        attempt.hung_up()
    elif never_billed(error):
        attempt.ended_free()
    else:
        attempt.silent = True
        attempt.ended_unknown()
