"""The refusal as LiveKit's code expects an answer: a status error that is not retried."""

import functools

from aden.errors import RefusalDetails, RequestCancelledError

BUSY_WAIT_MS = 150
"""How long a turn waits for a refund where only open requests fill a budget."""


@functools.cache
def refusal_class() -> type[RequestCancelledError]:
    """Make `LiveKitRequestCancelledError`; only called where LiveKit is imported already."""
    from livekit.agents import APIStatusError

    class LiveKitRequestCancelledError(RequestCancelledError, APIStatusError):
        """A refusal inside LiveKit: a ``livekit.agents.APIStatusError`` with status 402."""

        __qualname__ = "LiveKitRequestCancelledError"  # as spans and logs name it

        def __init__(self, details: RefusalDetails | str) -> None:
            RequestCancelledError.__init__(self, details)
            body = {"aden": {"reason": self.reason, "budget_id": self.budget_id}}
            APIStatusError.__init__(self, str(self), status_code=402, body=body, retryable=False)

        def __reduce__(self) -> tuple[object, tuple[RefusalDetails]]:  # type: ignore[override]
            return remake, (self.details,)

    return LiveKitRequestCancelledError


def remake(details: RefusalDetails) -> RequestCancelledError:
    """Unpickle a refusal."""
    return refusal_class()(details)
