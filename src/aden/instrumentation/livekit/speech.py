"""What hearing and speaking share: when it may be refused, how it is described, what is billed."""

from typing import Any

from aden.core.request import Request, Task
from aden.core.usage import Usage
from aden.errors import RequestCancelledError
from aden.instrumentation.livekit.plugin import UNKNOWN, address_of, provider_name
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS, causes, refusal_class
from aden.instrumentation.unsent import was_never_sent
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.telemetry.spans import NO_SPAN

OPERATION = "generate_content"


def begin(meter: Meter, request: Request, *, observed: bool = False) -> Call:
    """First sight of it. In a job or a session it is never refused: that is silence on a call."""
    asking = meter.asking()
    lane = Lane(refusal_class(), BUSY_WAIT_MS, observed=observed or asking.in_session)
    return meter.begin(request, {"model": request.model, "stream": request.stream}, lane, asking)


def show_refused(meter: Meter, call: Call, refusal: RequestCancelledError) -> None:
    """Settle a call that was refused before LiveKit began a span for it: it has one of ours."""
    call.span = NO_SPAN
    meter.open_span(call)
    meter.settle(call, refusal)


def describe(
    plugin: Any,
    task: Task,
    carries: Usage,
    *,
    stream: bool,
    input_chars: int = 0,
    heard_tokens: int = 0,
    likely_output_tokens: int = 0,
) -> Request:
    """A request to a TTS or an STT, whichever it is."""
    host, port = address_of(plugin)
    return Request(
        provider=provider_name(plugin),
        model=str(plugin.model or UNKNOWN),
        operation=OPERATION,
        task=task,
        stream=stream,
        input_chars=input_chars,
        input_extra_tokens=heard_tokens,
        likely_output_tokens=likely_output_tokens,
        carries=carries,
        server_address=host,
        server_port=port,
        span_attributes={"gen_ai.output.type": "speech" if task == "speech" else "text"},
    )


def never_billed(error: BaseException) -> bool:
    """Whether a request failed in a way that no provider bills: not sent, or refused by status.

    A bare RuntimeError is how clients say that they are closed, or have no loop or session to use.
    """
    return any(
        was_never_sent(each) or type(each) is RuntimeError or _status(each) in range(400, 600)
        for each in causes(error)
    )


def _status(error: BaseException) -> int:
    for name in ("status_code", "status"):
        if isinstance(status := getattr(error, name, None), int):
            return status
    return 0
