"""The refusal of a reply as LiveKit's code expects it: an error of the realtime session."""

import functools
import sys
import time
from contextvars import ContextVar
from typing import Any

from aden.errors import RefusalDetails, RequestCancelledError
from aden.instrumentation.livekit.who import current_session
from aden.metering.meter import Meter

MESSAGE = "I'm sorry, I can't go on with this call. Please try again later."
_speaks: ContextVar[bool] = ContextVar("aden_speaks_refusal", default=False)


class Caller:
    """Who is at the other end of a realtime session, and what they hear of a refusal."""

    def __init__(self, meter: Meter, session: Any, model: Any) -> None:
        self._meter = meter
        self._session = session
        self._model = model
        self._agent_session = current_session()

    @property
    def speaks(self) -> bool:
        """Whether what is asked for now is the refusal's own words."""
        return _speaks.get()

    def refused(self, refusal: RequestCancelledError) -> None:
        """Tell the program by the ``error`` event, and the caller in words."""
        error = sys.modules["livekit.agents.llm"].RealtimeModelError(
            timestamp=time.time(), label=self._model.label, error=refusal, recoverable=True
        )
        self._session.emit("error", error)
        if self._agent_session is None:
            return
        token = _speaks.set(True)
        try:
            self._agent_session.say(MESSAGE)
        except RuntimeError as error:  # nothing to speak with, or the session is closing
            self._meter.cannot("gate", f"a refusal could not be spoken: {error}")
        finally:
            _speaks.reset(token)


@functools.cache
def refusal_class() -> type[RequestCancelledError]:
    """Make `LiveKitRealtimeRequestCancelledError`, where LiveKit is imported already."""
    from livekit.agents.llm import RealtimeError

    class LiveKitRealtimeRequestCancelledError(RequestCancelledError, RealtimeError):
        """A refusal of a realtime session: a ``livekit.agents.llm.RealtimeError``."""

        __qualname__ = "LiveKitRealtimeRequestCancelledError"  # as spans and logs name it

        def __init__(self, details: RefusalDetails | str) -> None:
            RequestCancelledError.__init__(self, details)
            self.code = self.reason

        def __reduce__(self) -> tuple[object, tuple[RefusalDetails]]:  # type: ignore[override]
            return remake, (self.details,)

    return LiveKitRealtimeRequestCancelledError


def remake(details: RefusalDetails) -> RequestCancelledError:
    """Unpickle a refusal."""
    return refusal_class()(details)
