"""The refusal of a reply as LiveKit's code expects it: an error of the realtime session."""

import functools
from collections.abc import AsyncIterator
from typing import Any

from aden.errors import RefusalDetails, RequestCancelledError


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


async def nothing() -> AsyncIterator[Any]:
    """What a refused reply says."""
    none: tuple[Any, ...] = ()
    for each in none:
        yield each
