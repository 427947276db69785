"""``llm.RealtimeSession``: what asks for a reply passes the gate, and every reply is metered.

The sessions of OpenAI's protocol show what goes over their WebSocket as public events, so
`SocketMeter` follows them as it does those of the openai SDK. What the sessions of other providers
tell is put into the words of that protocol (`realtime_metrics`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from aden.core.request import Request
from aden.core.usage import Usage, milliseconds
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside
from aden.instrumentation.livekit import realtime_metrics
from aden.instrumentation.livekit.listening import listen
from aden.instrumentation.livekit.live import is_metered
from aden.instrumentation.livekit.plugin import address_of, provider_name, shows_wire
from aden.instrumentation.livekit.realtime_ahead import LIKELY_SPEECH_TOKENS, Ahead
from aden.instrumentation.livekit.realtime_caller import Caller
from aden.instrumentation.livekit.realtime_gate import Gate, passed, passing
from aden.instrumentation.livekit.realtime_refusal import ahead_of_reply, nothing, refusal_class
from aden.instrumentation.livekit.realtime_span import ReplySpan, tells
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS
from aden.instrumentation.openai.socket_meter import CREATE, SocketMeter
from aden.instrumentation.told import get
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.unasked import begun_by_provider

SHOWN_MAX = 100
"""Replies of one session that may wait for LiveKit to tell their metrics."""
METRICS_WITHIN_S = 5.0
"""How long after the next reply has begun the metrics of one before it may come."""


def made(wrapped: Callable[..., None], session: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``RealtimeSession.__init__``, which every plugin's session calls first."""
    wrapped(*args, **kwargs)
    meter = active_meter()
    if meter is None or _is_a(session, "_FallbackRealtimeSession"):
        return  # the sessions below that adapter are each gated and metered
    try:
        Talk(meter, session, args[0] if args else kwargs["realtime_model"]).begin()
    except Exception:
        meter.cannot("gate", "a realtime session could not be wrapped", trace=True)


def _is_a(session: Any, name: str) -> bool:
    return any(each.__name__ == name for each in type(session).__mro__)


class Talk:
    """One realtime session."""

    def __init__(self, meter: Meter, session: Any, model: Any) -> None:
        self._meter = meter
        self._session = session
        self._model = model
        self._on_wire = shows_wire(session)
        self._by_time = _is_a(session, "_DuplexRealtimeSession")
        """It bills by how long it is open, whoever speaks, and cannot be interrupted."""
        self._caller = Caller(meter, session, model)
        self._gate = Gate(meter, self._admitted, self._caller.refused)
        self._ahead = Ahead(meter, lambda: self._socket.foreseen(LIKELY_SPEECH_TOKENS), self._shut)
        self._unsent: list[Call] = []
        """Let through, and not on the wire yet."""
        self._shown: dict[str, ReplySpan] = {}
        self._begun_spans: deque[ReplySpan] = deque(maxlen=SHOWN_MAX)
        self._counted: deque[str] = deque(maxlen=SHOWN_MAX)
        """Replies of which LiveKit has told the metrics."""
        self._untold: deque[str] = deque(maxlen=SHOWN_MAX)
        """Replies that were settled because nobody told theirs."""
        self._unasked: str | None = None
        """The reply that the server began last by itself."""
        self._spoken = False
        """Whether a reply that begins is the agent's own, so not one of the server's."""
        self._stop: RequestCancelledError | None = None
        """Why that reply is to end where it begins."""

    def begin(self) -> None:
        """Listen, and stand in front of what asks for a reply."""
        session = self._session
        hears = {
            "openai_client_event_queued": self._sent,
            "openai_server_event_received": self._received,
            "generation_created": self._generated,
            "metrics_collected": self._told,
            "input_speech_started": self._speech_started,
            "input_speech_stopped": self._speech_stopped,
            "session_reconnected": self._reconnected,
            "error": self._failed,
        }
        listen(self._meter, session, hears, "a realtime session")
        session.generate_reply = partial(self._reply, session.generate_reply)
        session.say = partial(self._say, session.say)
        session.interrupt = partial(self._interrupt, session.interrupt)
        session.aclose = partial(self._aclose, session.aclose)

    @cached_property
    def _socket(self) -> SocketMeter:
        socket = SocketMeter(self._meter, self._model, str(self._model.model or ""))
        socket.begin, socket.ahead = self._call, self._begun
        return socket

    def _call(self, request: Request, asked: Mapping[str, Any]) -> Call:
        host, port = address_of(self._model)
        described = replace(
            request,
            provider=provider_name(self._model),
            operation="generate_content",
            server_address=host,
            server_port=port,
        )
        lane = Lane(refusal_class(), BUSY_WAIT_MS, component="realtime")
        call = self._meter.begin(described, asked, lane)
        call.span = ReplySpan(self._meter, call)
        return call

    # What the agent does.

    def _reply(self, send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if active_meter() is None or self._caller.is_told:
            return send(*args, **kwargs)
        if (refusal := ahead_of_reply()) is not None:
            return self._gate.refuse(refusal)
        if (call := passed()) is not None:
            return self._admitted(call, lambda: send(*args, **kwargs))
        try:
            asked = realtime_metrics.asked(args, kwargs)
            call = self._socket.outgoing({"type": CREATE, "response": asked})
            assert call is not None
        except Exception:
            self._meter.cannot("gate", "a reply could not be described", trace=True)
            return send(*args, **kwargs)
        return self._gate.ask(call, lambda: send(*args, **kwargs))

    def _say(self, say: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._session.capabilities.supports_say:
            return say(*args, **kwargs)
        return self._reply(say, *args, **kwargs)

    def _admitted(self, call: Call, send: Callable[[], Any]) -> Any:
        """Send an admitted request; the plugin puts it on the wire when it comes to it."""
        if self._on_wire:
            self._unsent.append(call)
        elif not self._by_time:
            aside(self._socket.sent, call, realtime_metrics.create(call))
        try:
            with passing(call, lambda: self._withdraw(call)):
                generation = send()
        except BaseException as error:
            self._withdraw(call)
            self._meter.settle(call, error)
            raise
        if not self._on_wire:
            generation.add_done_callback(lambda ended: self._answered(call, ended))
        return generation

    def _withdraw(self, call: Call) -> None:
        """It does not go out here."""
        if call in self._unsent:
            self._unsent.remove(call)
        self._socket.withdraw(call)

    def _answered(self, call: Call, ended: "asyncio.Future[Any]") -> None:
        """A session that shows no wire has begun a reply, or failed to."""
        if self._by_time:
            self._meter.settle(call)
        elif ended.cancelled():
            self._socket.unanswered(call, None)
        elif (error := ended.exception()) is not None:
            self._socket.unanswered(call, error)

    def _interrupt(self, interrupt: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        aside(self._gate.leave, "the reply was interrupted before it was asked for")
        interrupt(*args, **kwargs)

    async def _aclose(
        self, aclose: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any
    ) -> None:
        aside(self._gate.leave, "realtime session closed")
        try:
            await aclose(*args, **kwargs)
        finally:
            aside(self._ahead.release)
            for call in self._unsent:
                aside(self._meter.settle, call)
            self._unsent.clear()
            aside(self._socket.end, "abandoned")
            for shown in self._begun_spans:
                aside(shown.end)

    # What goes over the wire.

    def _sent(self, event: dict[str, Any]) -> None:
        self._on_wire = True
        if event.get("type") != CREATE:
            self._socket.outgoing(event)
            return
        if self._unsent:
            call = self._unsent.pop(0)
        else:  # by the session's own ``send_event``
            made = self._socket.outgoing(event)
            assert made is not None
            call = made
            begun_by_provider(self._meter, call)
        self._socket.sent(call, event)
        if instead := self._socket.rewritten(call, event):
            event.clear()
            event.update(instead)

    def _received(self, event: dict[str, Any]) -> None:
        self._on_wire = True
        self._socket.hear(event)
        if event.get("type") == "response.done":
            self._over(get(event.get("response"), "id"))
            asyncio.get_running_loop().call_soon(self._tell, event.get("response"))

    def _over(self, response_id: Any) -> None:
        """A reply has ended, and is settled."""
        if response_id == self._unasked:
            self._ahead.over()

    def _tell(self, response: Any) -> None:
        """LiveKit counts no reply that it discards; the provider has."""
        if get(response, "id") in self._counted or get(response, "usage") is None:
            return
        try:
            metrics = realtime_metrics.of_response(self._model, response)
            self._session.emit("metrics_collected", metrics)
        except Exception:
            self._meter.cannot("reader", "what LiveKit did not tell could not be told", trace=True)

    # What a session of any provider tells.

    def _begun(self) -> Call | None:
        """The server begins a reply by itself: what was let through for it, if anything was."""
        self._stop = None
        if self._spoken:
            return None
        if (call := self._ahead.take()) is None:
            self._stop = self._ahead.refusal
            if self._stop is None:  # nobody was heard before it: it is refused late
                self._caller.speaks()
                self._ahead.late()
        return call

    def _generated(self, event: Any) -> None:
        if self._by_time or hasattr(event, "_aden_span"):  # emitted once more by an adapter
            return
        response_id = str(event.response_id or "")
        if not self._on_wire:
            for before in self._shown.keys() - {response_id}:
                asyncio.get_running_loop().call_later(METRICS_WITHIN_S, self._due, before)
            self._spoken = event.user_initiated
            asked = self._socket.oldest_asked if event.user_initiated else None
            self._socket.hear(realtime_metrics.created(response_id, asked))
            self._spoken = False
        call = self._socket.answering(response_id)
        if call is not None and isinstance(call.span, ReplySpan):
            event._aden_span = self._shown[response_id] = call.span
            call.span.expected = self._caller.has_agent
            self._begun_spans.append(call.span)
            while len(self._shown) > SHOWN_MAX:
                del self._shown[next(iter(self._shown))]
        if not event.user_initiated:
            self._unasked = response_id
            if (refusal := self._stop) is not None:
                self._stop = None
                event.message_stream, event.function_stream = nothing(), nothing()
                self._end(refusal)

    def _due(self, response_id: str) -> None:
        """The reply after it has begun, so its metrics should be here."""
        if self._socket.untold(response_id):
            self._over(response_id)
            self._untold.append(response_id)
            self._shown.pop(response_id, None)

    def _told(self, metrics: Any) -> None:
        if not self._on_wire and realtime_metrics.are_new(metrics):
            self._booked(metrics)
        response_id = str(get(metrics, "request_id") or "")
        self._counted.append(response_id)
        shown = self._shown.pop(response_id, None)
        if shown is not None:
            tells(metrics, shown)

    def _booked(self, metrics: Any) -> None:
        if get(metrics, "type") == "stt_metrics":
            for event in realtime_metrics.transcribed(metrics):
                self._socket.hear(event)
            return
        seconds = get(metrics, "session_duration")
        if seconds and not is_metered(getattr(self._session, "_duplex", None)):
            self._open_for(milliseconds(seconds))
        if self._by_time or not realtime_metrics.of_reply(metrics):
            return
        response_id = str(metrics.request_id)
        if response_id in self._untold:
            return
        if self._socket.answering(response_id) is None:
            asked = self._socket.oldest_asked
            self._socket.hear(realtime_metrics.created(response_id, asked))
        self._socket.hear(realtime_metrics.done(metrics))
        self._over(response_id)

    def _open_for(self, session_ms: int | None) -> None:
        """The provider tells for how long it bills the session."""
        model = str(self._model.model or "")
        call = self._call(Request(provider_name(self._model), model), {"model": model})
        begun_by_provider(self._meter, call)
        call.attempt(call.request).saw_usage(Usage(session_ms=session_ms))
        self._meter.settle(call)

    def _speech_started(self, _event: Any) -> None:
        self._caller.speaks()
        if self._session.capabilities.turn_detection and not self._by_time:
            self._ahead.ask()

    def _speech_stopped(self, _event: Any) -> None:
        self._ahead.due()

    def _shut(self, refusal: RequestCancelledError) -> None:
        """What the server may begin is refused: if it has begun meanwhile, it ends now."""
        if self._unasked is not None and self._socket.answering(self._unasked) is not None:
            self._end(refusal)

    def _end(self, refusal: RequestCancelledError) -> None:
        self._ahead.forget()
        self._session.interrupt()
        self._caller.refused(refusal)

    def _reconnected(self, _event: Any) -> None:
        self._broke(ConnectionError("the realtime session reconnected"))

    def _failed(self, error: Any) -> None:
        if not error.recoverable:
            self._broke(error.error)

    def _broke(self, error: BaseException) -> None:
        self._socket.broke(error)
        self._ahead.over()
