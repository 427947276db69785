"""What is metered on one WebSocket: each response that is asked for, or begun by the server."""

import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVarTuple

from aden.core.request import Request
from aden.core.usage import Usage
from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.openai import realtime, responses, transcripts
from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.most import with_most
from aden.instrumentation.openai.open_response import OpenResponse
from aden.instrumentation.openai.refusal import refusal_class
from aden.instrumentation.openai.said import Said
from aden.instrumentation.stream_meter import StreamMeter
from aden.instrumentation.told import get
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.unasked import begun_by_provider, book_unseen
from aden.telemetry.content import Content
from aden.telemetry.quiet import quietly

CREATE = "response.create"
Begin = Callable[[Request, Mapping[str, Any]], Call]
"""(request, its parameters) → its call, not yet admitted."""
Ts = TypeVarTuple("Ts")
_WHOLE = ("response.done", "response.completed", "response.incomplete")
_LAST = (*_WHOLE, "response.failed", "error")
"""Events that end a response; after the first ones it is billed."""
ENDED_MAX = 100
"""Of the latest responses that are over, by which one that ends again is known."""
_NAME = "client_event_id"
"""In the metadata of LiveKit's requests."""


class SocketMeter:
    """Follows one connection. It refers to nothing of the SDK's but the client.

    The server says of most events to which response they belong; a ``response.created`` belongs
    to the request that it names, or to the oldest of its lane that none has answered yet, else the
    server began it itself.

    Attributes:
        begin: Makes the call of a request; a framework around the connection has its own way.
        ahead: Gives the call that was admitted for what the server begins by itself, if one was.
    """

    def __init__(
        self,
        meter: Meter,
        client: Any,
        model: str | None,
        talk: Endpoint = realtime.ENDPOINT,
        *,
        from_start: bool = True,
    ) -> None:
        """*from_start*: nothing was said on it yet."""
        self.meter = meter
        lane = Lane(refusal_class(), component="realtime" if model else "llm")
        self.begin: Begin = lambda request, asked: meter.begin(request, asked, lane)
        self.ahead: Callable[[], Call | None] = lambda: None
        self._client = client
        self._model = model
        """Of a realtime connection; None where each request names its own."""
        self._endpoint: Endpoint = responses.ENDPOINT if model is None else talk
        self._said = Said(model)
        self._asked: list[OpenResponse] = []
        self._answering: dict[str, OpenResponse] = {}
        self._ended: deque[str] = deque(maxlen=ENDED_MAX)
        if model is not None and from_start:
            empty = realtime.describe({"_session": self._said.session}, client)
            meter.estimator.keep(empty, None, Usage(0, 0))

    def asks(self, event: Mapping[str, Any]) -> bool:
        """Whether an event of the client's is one that a budget has to bear."""
        return event.get("type") == CREATE

    def outgoing(self, event: Mapping[str, Any]) -> Call | None:
        """The call that an event asks for, not yet admitted; None where it asks for none."""
        if self.asks(event):
            return self.begin(*self._described(self._said.asked_by(event)))
        if self._model is not None:
            with contextlib.suppress(Exception):
                self._said.note(event, keep=self.meter.telemetry.wants_content)
        return None

    def _ask(self, call: Call, event: Mapping[str, Any]) -> None:
        """Read what is said with a request, where that is captured."""
        if self.meter.telemetry.wants_content:
            quietly(self._endpoint.ask, call, self._said.content(event))

    def foreseen(self, tokens: int) -> Call:
        """The call of what the server is about to begin, when it has heard *tokens* more."""
        return self.begin(*self._described(self._said.foreseen(tokens)))

    def rewritten(self, call: Call, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The event as it is sent instead; None where it is sent as it came."""
        quote = call.quote
        cap = quote.cut.cap if quote is not None and quote.model == call.model else None
        if call.model == call.request.model and cap is None:
            return None
        instead = self._endpoint.rewrite(dict(event), call.model, False)[0]
        if cap is not None:
            call.span.capped(cap)
            capped = {self._endpoint.caps[0]: cap}
            if self._model is None:
                instead |= capped
            else:
                instead["response"] = {**(event.get("response") or {}), **capped}
        return instead

    def sent(self, call: Call, event: Mapping[str, Any]) -> None:
        """An admitted request goes out now."""
        name = get(get(event.get("response"), "metadata"), _NAME)
        lane = str(event.get("stream_id", ""))
        self._ask(call, event)
        self._asked.append(self._open(call, event.get("event_id"), lane, name))

    def not_sent(self, call: Call, error: BaseException) -> None:
        """It could not be sent after all."""
        for each in self._given_up(call):
            if isinstance(error, Exception):
                each.attempt.ended_free()
        self.meter.settle(call, error)

    def withdraw(self, call: Call) -> None:
        """It goes out by another connection."""
        for each in self._given_up(call):
            call.attempts.remove(each.attempt)

    def unanswered(self, call: Call, error: BaseException | None) -> None:
        """Whoever sent it waits no more, None: by its own choice; it may be billed all the same."""
        for each in self._given_up(call):
            if error is None:
                each.metered.end("abandoned")
            else:
                each.metered.broke(error)

    def untold(self, response_id: str) -> bool:
        """Its end does not come; False where it has come already."""
        found = self._answering.pop(response_id, None)
        if found is not None:
            self._ended.append(response_id)
            found.metered.end("abandoned")
        return found is not None

    @property
    def oldest_asked(self) -> str | None:
        """The name of the request that nothing has answered for longest."""
        return self._asked[0].name if self._asked else None

    def hear(self, event: dict[str, Any]) -> None:
        """The caller receives an event. Never raises."""
        try:
            self._read(event)
        except Exception:
            self.meter.cannot("reader", "a WebSocket event could not be read", trace=True)
            aside(self._lose, event)

    def answering(self, response_id: str) -> Call | None:
        """The call of a response on its way."""
        found = self._answering.get(response_id)
        return found.call if found is not None else None

    def broke(self, error: BaseException) -> None:
        """The connection is lost."""
        for each in self._all():
            self._over(each, each.metered.broke, error)

    def never_opened(self, error: BaseException) -> None:
        """There was no connection for what was queued."""
        for each in self._all():
            self._over(each, each.metered.unsent, error)

    def end(self, how: str) -> None:
        """The caller leaves the connection."""
        for each in self._all():
            aside(each.left)
            self._over(each, each.metered.end, how)

    def __del__(self) -> None:
        for each in self._all():
            aside(each.left)
            self._over(each, each.metered.dropped)

    def _over(self, each: OpenResponse, end: Callable[[*Ts], object], *how: *Ts) -> None:
        """Put an end to a response; where that fails, it is booked at its hold."""
        try:
            end(*how)
        except Exception as error:
            unfollowed(error)
            aside(book_unseen, self.meter, each.call)

    def _lose(self, event: Mapping[str, Any]) -> None:
        """What *event* began or ended can be followed no more: it is booked at its hold."""
        kind, lane = event.get("type"), str(event.get("stream_id", ""))
        lost = None
        if kind == "response.created":
            lost = next((each for each in self._asked if each.lane == lane), None)
        elif kind in _LAST:
            lost = self._answering.pop(self._key(event, lane), None)
            self._ended.append(str(get(event.get("response"), "id") or ""))
        if lost is not None:
            self._given_up(lost.call)
            book_unseen(self.meter, lost.call)

    def _given_up(self, call: Call) -> list[OpenResponse]:
        """The requests of *call* that nothing has answered, and nothing is to."""
        self._asked, asked = [each for each in self._asked if each.call is not call], self._asked
        return [each for each in asked if each.call is call]

    def _all(self) -> list[OpenResponse]:
        every = [*self._asked, *self._answering.values()]
        self._asked, self._answering = [], {}
        return every

    def _described(self, asked: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
        try:
            request = self._endpoint.describe(asked, self._client)
            if self.meter.policy_for(self.meter.asking()).bounds:
                request = self._bounded(with_most(request, self._endpoint, asked))
        except Exception:
            self.meter.cannot("description", "a request could not be measured", trace=True)
            request = Request("openai", self._model or str(asked.get("model") or ""), stream=True)
        return request, asked

    def _bounded(self, request: Request) -> Request:
        if self._model is not None:
            return realtime.bounded(request)
        return replace(request, can_be_ended=False)

    def _open(
        self, call: Call, event_id: str | None, lane: str, name: str | None = None
    ) -> OpenResponse:
        sending = Sending(self.meter, call, call.request.to(call.model))
        attempt = sending.begin()
        feed = self._endpoint.feeder(sending, hide=False)
        metered = StreamMeter(self.meter, call, attempt, feed, True)
        return OpenResponse(event_id, name, lane, call, attempt, metered)

    def _read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if self._model is not None and self._heard(event, kind):
            return
        lane = str(event.get("stream_id", ""))
        key = self._key(event, lane)
        if kind == "error":
            self._failed(event, lane)
            return
        response = event.get("response")
        ends = str(get(response, "id") or "") if kind in _LAST else ""
        missed = kind in _WHOLE and key not in self._answering and ends not in self._ended
        if kind == "response.created" or missed:
            self._created(key, lane, response)
        open_response = self._answering.get(key)
        if open_response is None:
            return
        open_response.hear(event)
        if open_response.attempt.over:
            open_response.metered.end("complete")
            del self._answering[key]
            self._ended.append(ends)

    def _key(self, event: Mapping[str, Any], lane: str) -> str:
        """By which a response on its way is known."""
        if self._model is None:
            return lane
        return str(event.get("response_id") or get(event.get("response"), "id") or "")

    def _created(self, key: str, lane: str, response: Any) -> None:
        """A response begins; one that is said to begin again, unasked, is the same."""
        asked, before = self._take(lane, response), self._answering.get(key)
        if asked is None and before is not None:
            return
        if before is not None:  # another one in its place: its end was never told
            self._over(before, before.metered.end, "error")
        self._answering[key] = asked or self._unasked(response)
        if asked is not None:
            self._asked.remove(asked)

    def _heard(self, event: dict[str, Any], kind: Any) -> bool:
        """Whether an event is about the session, or about what the session heard."""
        if kind in ("session.created", "session.updated"):
            self._said.set(event)
        elif kind == realtime.TRANSCRIBED:
            self._transcribed(event)
        else:
            return False
        return True

    def _transcribed(self, event: dict[str, Any]) -> None:
        """What was said is written down by a model of its own, at a price of its own."""
        described = realtime.describe({"_session": self._said.session}, self._client)
        request = transcripts.of_session(described, self._said.transcriber)
        call = self.begin(request, {"model": self._said.transcriber})
        begun_by_provider(self.meter, call)
        sending = Sending(self.meter, call, request)
        sending.begin()
        if self.meter.telemetry.wants_content:
            call.content = Content()
        transcripts.ENDPOINT.note(sending, event)
        self.meter.settle(call)

    def _take(self, lane: str, response: Any) -> OpenResponse | None:
        named = get(get(response, "metadata"), _NAME)
        waiting = [each for each in self._asked if each.lane == lane and each.name in (None, named)]
        for each in waiting:
            if each.doubt is None or each is waiting[-1]:
                return each
            each.refused(each.doubt)  # for they are answered in order
            self._asked.remove(each)
        return None

    def _unasked(self, response: Any) -> OpenResponse:
        """The server answers what it heard, or goes on by itself: not gated, or ahead of time."""
        request, asked = self._described(self._said.asked_by({"model": get(response, "model")}))
        call = self.ahead()
        if call is None:
            call = self.begin(request, asked)
            begun_by_provider(self.meter, call)
        else:
            size, extra = request.input_chars, request.input_extra_tokens
            call.request = replace(call.request, input_chars=size, input_extra_tokens=extra)
        self._ask(call, {})
        return self._open(call, None, "")

    def _failed(self, event: dict[str, Any], lane: str) -> None:
        """An error is the answer to a request, or ends a response, or is about something else."""
        error = event.get("error") or event
        named = get(error, "event_id")
        for each in self._asked:
            about = named == each.event_id if named else realtime.refuses(error)
            if each.lane == lane if self._model is None else about:
                each.refused(event)
                self._asked.remove(each)
                return
        if self._model is not None and not named and self._asked:
            self._asked[0].doubt = event
        if self._model is None and lane in self._answering:
            open_response = self._answering[lane]
            open_response.metered.chunk(event)
            open_response.metered.end("error")
            del self._answering[lane]
