"""``AgentSession.start``: where it is asked for, whether a session's speech is borne at all.

Once it runs, nothing that it hears or says is refused.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.hearing import SLICE_MS
from aden.instrumentation.livekit.hearing import request_for as to_hear
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS, refusal_class
from aden.instrumentation.livekit.speaking import TYPICAL_CHARACTERS
from aden.instrumentation.livekit.speaking import request_for as to_speak
from aden.instrumentation.livekit.speech import show_refused
from aden.metering.call import Lane
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.telemetry.spans import NoSpan


async def start(
    wrapped: Callable[..., Awaitable[Any]], session: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``AgentSession.start``.

    Raises:
        RequestCancelledError: Its STT or TTS is refused; nothing was opened.
    """
    meter = active_meter()
    if meter is not None and meter.options.refuse_speech:
        agent = args[0] if args else kwargs.get("agent")
        for request in _first_requests(meter, session, agent):
            await _ask(meter, request)
    return await wrapped(*args, **kwargs)


def _first_requests(meter: Meter, session: Any, agent: Any) -> Iterator[Request]:
    """A slice to hear, and a few sentences to say."""
    try:
        if (stt := _in_use(agent, session, "stt")) is not None:
            yield to_hear(meter, stt, SLICE_MS, stream=True, exact=False)
        if (tts := _in_use(agent, session, "tts")) is not None:
            yield to_speak(meter, tts, TYPICAL_CHARACTERS, None, stream=True, exact=False)
    except Exception:
        meter.cannot("gate", "a session's speech could not be described", trace=True)


def _in_use(agent: Any, session: Any, name: str) -> Any:
    """The agent's own plugin, where it has one, else the session's."""
    from livekit.agents.utils import is_given

    own = getattr(agent, name)
    return own if is_given(own) else getattr(session, name)


async def _ask(meter: Meter, request: Request) -> None:
    params = {"model": request.model, "stream": True}
    call = meter.begin(request, params, Lane(refusal_class(), BUSY_WAIT_MS))
    call.span = NoSpan()  # what is let through is no request
    try:
        await aadmit(meter, call)
    except RequestCancelledError as refusal:
        show_refused(meter, call, refusal)
        raise
    meter.settler.withdraw(call)
