"""Sees each sending on the wire: the SDK retries inside one method call."""

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as otel_context

from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.aside import aside
from aden.instrumentation.unsent import was_never_sent
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.shells import abear, bear
from aden.telemetry.context import with_call

NOTHING = object()
"""What has not come."""


@dataclass(slots=True)
class Sending:
    """One SDK method call on its way; the attempts that it makes belong to `call`."""

    meter: Meter
    call: Call
    request: Request
    attempt: Attempt | None = None
    """The latest."""
    whole: Any = None
    """The HTTP response to it, where the SDK has read its body by itself."""
    answer: Any = None
    """What the SDK made of it; somebody between us and the SDK may put something around that."""
    joined: bool = False
    """Whether it is sent inside a call that is on its way already."""
    went: bool = False
    """Whether the SDK was asked to send it."""
    came: Any = NOTHING
    """What the SDK gave to that; it may be None."""
    _tokens: Any = None

    def __enter__(self) -> None:
        """It is on its way: its span is current, and nested wrappers find it and the call."""
        context = None
        if not self.joined:
            context = otel_context.attach(self.call.span.context or with_call(self.call))
        self._tokens = context, current_sending.set(self)

    def __exit__(self, *_raised: object) -> None:
        """What was raised, and what came, is the caller's whatever becomes of this."""
        aside(self.leave)
        if self._tokens is not None:  # else requests after it would be taken for a part of it
            aside(self.leave)

    def leave(self) -> None:
        """Nothing of it is current any more, as far as something is."""
        if self._tokens is None:
            return
        context, sending = self._tokens
        if no_longer_current(sending) and context is not None:
            otel_context.detach(context)
        self._tokens = None

    def begin(self) -> Attempt:
        """A request goes out."""
        self.attempt = self.call.attempt(self.request)
        return self.attempt

    def missed(self) -> None:
        """A sending could not be noted: it counts as one whose answer tells what it was."""
        self.meter.cannot("reader", "a sending could not be followed", trace=True)
        self.attempt = None

    def failed(self, error: BaseException) -> None:
        """No answer came to the latest."""
        if self.attempt is not None:
            failed(self.attempt, error)

    def answered(self, response: Any) -> None:
        """An error status is not billed; what else is read in whole may have to be read here."""
        if self.attempt is not None and getattr(response, "status_code", 200) >= 400:
            self.attempt.ended_free()
        if getattr(response, "is_closed", False):  # a stream's would outlive the stream here
            self.whole = response

    def answers(self, answer: Any) -> Any:
        """The SDK gives *answer* to whoever called it."""
        self.answer = answer
        return answer

    def unseen(self) -> None:
        """Nobody follows its answer: what is generated of it is unknown."""
        self.latest().silent = True

    def latest(self) -> Attempt:
        """The attempt that answered; one is made up where the SDK showed none."""
        return self.attempt or self.begin()


current_sending: ContextVar[Sending | None] = ContextVar("aden_sending", default=None)


def no_longer_current(token: Token[Sending | None]) -> bool:
    """Put `current_sending` back; False where this is not the context in which it was set.

    So it is where a coroutine is closed that nobody awaits any more; the context is gone then.
    """
    try:
        current_sending.reset(token)
    except ValueError:
        return False
    except RuntimeError:  # put back, and interrupted before it was noted
        return True
    return True


def observe(wrapped: Callable[..., Any], _client: Any, args: Any, kwargs: Any) -> Any:
    """``SyncAPIClient._send_request``, and what sends in its place by a certificate."""
    sending = current_sending.get()
    if sending is None:
        return wrapped(*args, **kwargs)
    try:
        if sending.attempt is not None:  # the SDK tries again what may have been billed
            bear(sending.meter, sending.call, sending.request, as_sent=True)
        sending.begin()
    except RequestCancelledError:
        raise
    except Exception:
        sending.missed()
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        aside(sending.failed, error)
        raise
    aside(sending.answered, response)
    return response


async def aobserve(wrapped: Callable[..., Any], _client: Any, args: Any, kwargs: Any) -> Any:
    """`observe`, awaiting."""
    sending = current_sending.get()
    if sending is None:
        return await wrapped(*args, **kwargs)
    try:
        if sending.attempt is not None:
            await abear(sending.meter, sending.call, sending.request, as_sent=True)
        sending.begin()
    except RequestCancelledError:
        raise
    except Exception:
        sending.missed()
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        aside(sending.failed, error)
        raise
    aside(sending.answered, response)
    return response


def failed(attempt: Attempt, error: BaseException) -> None:
    """No answer came: was the request sent?"""
    if was_never_sent(error):
        attempt.ended_free()
        return
    if isinstance(error, Exception):  # timed out, it may have worked to the end
        attempt.silent = True
        attempt.ended_unknown()
    else:  # cancelled
        attempt.hung_up()
