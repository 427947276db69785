"""What a live session asks its backends, or has the program ask them: each answer is a Call."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aden.core.failure import ReportedFailure
from aden.core.request import Request
from aden.instrumentation.openai import responses
from aden.instrumentation.openai.sessions import delegated
from aden.instrumentation.stream_meter import StreamMeter
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.unasked import begun_by_provider

ASKING = {"response.create": "response", "decision.create": "decision"}
"""The client's events that ask a backend, and which."""


@dataclass(slots=True)
class _Answer:
    """A response that a backend makes."""

    attempt: Attempt
    metered: StreamMeter


class _Asked(NamedTuple):
    """A call that the program asks for."""

    call: Call
    event_id: object
    """Of the event that asks."""


@dataclass(slots=True)
class Backends:
    """The Responses and the Decisions backend of one session."""

    meter: Meter
    client: Any
    lane: Lane
    session: str | None = None
    model: str = ""
    _asked: dict[str, deque[_Asked]] = field(
        default_factory=lambda: {backend: deque() for backend in ASKING.values()}
    )
    _answering: dict[str, _Answer] = field(default_factory=dict)

    def begin(self, params: Mapping[str, Any], model: str | None = None) -> Call:
        """The call of something that a backend is asked."""
        request: Request = delegated(model or self.model, self.client, self.session)
        return self.meter.begin(request, dict(params), self.lane)

    def sent(self, call: Call, event: Mapping[str, Any]) -> None:
        """What the program asks goes out."""
        call.attempt(call.request)
        backend = ASKING[str(event.get("type"))]
        self._asked[backend].append(_Asked(call, event.get("event_id")))

    def forget(self, call: Call) -> None:
        """It could not be sent after all."""
        self._take(lambda each: each.call is call)

    def refused(self, event_id: object, why: ReportedFailure) -> bool:
        """The provider refuses what an event asked for; False where it asked for nothing."""
        asked = self._take(lambda each: each.event_id is not None and each.event_id == event_id)
        if asked is None:
            return False
        answer = self._follow(asked.call)
        answer.attempt.failure = why
        answer.attempt.ended_free()
        answer.metered.end("error")
        return True

    def _take(self, sought: Callable[[_Asked], bool]) -> _Asked | None:
        for every in self._asked.values():
            for each in every:
                if sought(each):
                    every.remove(each)
                    return each
        return None

    def answered(self, event: Any, delegation: str) -> None:
        """An event of a response; those of one delegation follow each other."""
        if not isinstance(event, dict):
            return
        if event.get("type") == "response.created":
            if (before := self._answering.pop(delegation, None)) is not None:
                before.metered.end("error")  # its end was never told
            model = self.model or get(event.get("response"), "model")
            self._answering[delegation] = self._follow(self._call("response", model, asked=True))
        if (answer := self._answering.get(delegation)) is None:
            return
        answer.metered.chunk(event)
        if answer.attempt.over:
            del self._answering[delegation]
            answer.metered.end("complete")

    def decided(self, decision: Any, *, asked: bool) -> None:
        """A whole answer of the Decisions API; *asked*: by the program, not by the session."""
        if isinstance(decision, dict):
            call = self._call("decision", decision.get("model"), asked=asked)
            responses.read(call.attempts[-1], decision)
            self.meter.settle(call)

    def all(self) -> list[StreamMeter]:
        """Everything that is on its way, for its end; what was asked and not begun as well."""
        waiting = [self._follow(each.call) for asked in self._asked.values() for each in asked]
        every = [answer.metered for answer in (*waiting, *self._answering.values())]
        self._asked = {backend: deque() for backend in self._asked}
        self._answering = {}
        return every

    def _call(self, backend: str, model: Any, *, asked: bool) -> Call:
        """The oldest one that the program asked for, else one that the provider began."""
        if asked and self._asked[backend]:
            return self._asked[backend].popleft().call
        call = self.begin({"model": model}, model if isinstance(model, str) else None)
        begun_by_provider(self.meter, call)
        call.attempt(call.request)
        return call

    def _follow(self, call: Call) -> _Answer:
        attempt = call.attempts[-1]
        return _Answer(attempt, StreamMeter(self.meter, call, attempt, _feed, True))


def _feed(attempt: Attempt, event: Any) -> bool:
    return responses.feed(attempt, event, False)
