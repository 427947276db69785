"""The refusal of a reply as LiveKit's code expects it: an error of the realtime session."""

import functools
from collections.abc import AsyncIterator
from typing import Any

from aden.errors import RefusalDetails, RequestCancelledError
from aden.instrumentation.livekit.refusal import refusal_in
from aden.instrumentation.livekit.turn import refused_ahead


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


def ahead_of_reply() -> RequestCancelledError | None:
    """The refusal of what the reply that is asked for here needs."""
    error = refused_ahead()
    refusal = None if error is None else refusal_in(error)
    return None if refusal is None else refusal_class()(refusal.details)


async def nothing() -> AsyncIterator[Any]:
    """What a refused reply says."""
    none: tuple[Any, ...] = ()
    for each in none:
        yield each
