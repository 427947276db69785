"""The refusal as LiveKit's code expects an answer: a status error that is not retried."""

import functools
from collections.abc import Iterator

from aden.errors import RefusalDetails, RequestCancelledError

BUSY_WAIT_MS = 150
"""How long a turn waits for a refund where only open requests fill a budget."""
MOST_CAUSES = 16
"""So many errors are looked at to find what one was raised from."""


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


def refusal_in(error: BaseException) -> RequestCancelledError | None:
    """The refusal that an error is, or was raised from: libraries wrap what an SDK raises."""
    every = (each for each in causes(error) if isinstance(each, RequestCancelledError))
    return next(every, None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from; of a group, what each of its errors was."""
    waiting: list[BaseException | None] = [error]
    for _ in range(MOST_CAUSES):
        if not waiting:
            return
        if (each := waiting.pop(0)) is not None:
            yield each
            waiting += [*getattr(each, "exceptions", ()), each.__cause__ or each.__context__]
