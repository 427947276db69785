"""What is metered on a WebSocket that is one session, billed by the time that it runs."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from aden.core.usage import Usage
from aden.instrumentation.openai import sessions
from aden.instrumentation.openai.parameters import failure
from aden.instrumentation.openai.refusal import refusal_class
from aden.instrumentation.openai.session_backends import ASKING, Backends
from aden.instrumentation.openai.sessions import Kind
from aden.instrumentation.stream_meter import StreamMeter
from aden.instrumentation.told import get
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.unasked import begun_by_provider

MAX_REMEMBERED = 1000
_SAID = ("session.output_audio.delta", "session.output_transcript.delta")


class _Known:
    """Sessions of this process, by their ids.

    The provider tells the time of a session in all, on each connection to it: one connection
    books it, and each millisecond once.
    """

    def __init__(self) -> None:
        self.models: OrderedDict[str, str] = OrderedDict()
        self.booked_ms: OrderedDict[str, int] = OrderedDict()
        self.owners: OrderedDict[str, int] = OrderedDict()
        """Which `SessionMeter` books it, by `id`."""

    def keep(self, table: OrderedDict[str, Any], session: str | None, value: Any) -> None:
        """Note *value*; the oldest are forgotten."""
        if session is not None:
            table[session] = value
            while len(table) > MAX_REMEMBERED:
                table.popitem(last=False)


_known = _Known()


class _Running:
    """A session that was asked for."""

    def __init__(self, meter: Meter, call: Call) -> None:
        self.call = call
        self.attempt = call.attempt(call.request)
        self.metered = StreamMeter(meter, call, self.attempt, lambda *_: True, True)
        self.began: float | None = None
        """When the provider said that it runs."""
        self.told: tuple[int, float] | None = None
        """Milliseconds that the provider has told last, and when."""
        self.heard_ms = 0.0
        """What was sent to be translated."""
        self.extend_at = sessions.HELD_MS


class SessionMeter:
    """Follows one connection. It refers to nothing of the SDK's but the client.

    The time of the session is one Call, asked for by the event that begins it. What its backends
    answer are Calls of their own: decided where the program asks for them, else booked and shown.
    """

    def __init__(
        self,
        meter: Meter,
        client: Any,
        kind: Kind,
        model: str = "",
        parent: str | None = None,
        *,
        lane: Lane | None = None,
    ) -> None:
        """*parent*: the session that this one attaches to or is forked from."""
        self.meter = meter
        self._client = client
        self._kind = kind
        self._model = model or _known.models.get(parent or "", "")
        self._id = parent if kind.begins is None else None
        self._lane = lane or Lane(refusal_class(), component="realtime")
        self._backends = Backends(meter, client, self._lane, self._id)
        self._running: _Running | None = None

    def asks(self, event: Mapping[str, Any]) -> bool:
        """Whether a budget has to bear what an event of the client's begins."""
        begins = event.get("type") == self._kind.begins and self._running is None
        return begins or event.get("type") in ASKING

    def outgoing(self, event: Mapping[str, Any]) -> Call | None:
        """The call that an event asks for, not yet admitted; None where it asks for none."""
        self._learn(event)
        if event.get("type") in ASKING:
            return self._backends.begin(event)
        if self.asks(event):
            request = sessions.describe(self._kind, self._model, self._client)
            return self.meter.begin(request, dict(event), self._lane)
        self._heard(event)
        return None

    def rewritten(self, _call: Call, _event: Mapping[str, Any]) -> None:
        """Nothing: the models are the session's."""

    def sent(self, call: Call, event: Mapping[str, Any]) -> None:
        """An admitted request goes out now."""
        if event.get("type") in ASKING:
            self._backends.sent(call, event)
        else:
            self._running = _Running(self.meter, call)
            if self._kind is sessions.TRANSLATION:  # that runs since the connection is open
                self._began(self._running)
            self._heard(event)

    def not_sent(self, call: Call, error: BaseException) -> None:
        """It could not be sent after all."""
        if isinstance(error, Exception):
            for attempt in call.attempts:
                attempt.ended_free()
        self._backends.forget(call)
        if self._running is not None and self._running.call is call:
            self._running = None
        self.meter.settle(call, error)

    def hear(self, event: dict[str, Any]) -> None:
        """The caller receives an event. Never raises."""
        try:
            self._read(event)
        except Exception:
            self.meter.cannot("reader", "a WebSocket event could not be read", trace=True)

    def broke(self, error: BaseException) -> None:
        """The connection is lost."""
        for metered in self._all():
            metered.broke(error)

    def never_opened(self, error: BaseException) -> None:
        """There was no connection for what was queued."""
        for metered in self._all():
            metered.unsent(error)

    def end(self, how: str) -> None:
        """The caller leaves the connection."""
        for metered in self._all():
            metered.end(how)

    def __del__(self) -> None:
        for metered in self._all():
            metered.dropped()

    def _all(self) -> list[StreamMeter]:
        """Everything that is on its way, for its end."""
        every = self._backends.all()
        if (running := self._stop()) is not None:
            every.append(running.metered)
        return every

    def _learn(self, event: Mapping[str, Any]) -> None:
        """What an event says of the session itself."""
        self._id = self._backends.session = sessions.session_id(event) or self._id
        self._backends.model = sessions.delegates_to(event) or self._backends.model
        if model := sessions.model_of(event):
            self._model = model
        _known.keep(_known.models, self._id, self._model)

    def _heard(self, event: Mapping[str, Any]) -> None:
        if self._running is not None and self._kind is sessions.TRANSLATION:
            self._running.heard_ms += sessions.audio_ms(event.get("audio"))
            self._grow(self._running)

    def _read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        self._learn(event)
        if kind == "response.event":
            self._backends.answered(event.get("event"), str(event.get("delegation_id") or ""))
        elif kind == "decision.event":
            by_session = event.get("delegation_id") or event.get("trigger_id")
            decision = get(event.get("event"), "decision")
            self._backends.decided(decision, asked=not by_session)
        elif kind == "error":
            self._failed(event)
        else:
            self._went_on(event, kind)

    def _went_on(self, event: dict[str, Any], kind: Any) -> None:
        told = sessions.told_ms(event)
        if self._running is None and told is not None and self._kind.begins is None:
            self._attach(last=kind == sessions.CLOSED)
        if (running := self._running) is None:
            return
        if sessions.begun(event) and running.began is None:
            self._began(running)
        if kind in _SAID:
            running.metered.chunk(event)
        if told is not None:
            running.told = told, time.monotonic()
        self._grow(running)
        if kind == sessions.CLOSED:
            self._stop(told)
            running.attempt.over = True
            running.metered.end("complete")

    def _attach(self, *, last: bool) -> None:
        """A session that was begun elsewhere is metered, not decided."""
        ours = self._id is None or _known.owners.get(self._id, id(self)) == id(self)
        if not ours or not (self._model or last):  # its last event names the model
            return
        request = sessions.describe(self._kind, self._model, self._client, self._id)
        call = self.meter.begin(request, {"model": self._model}, self._lane)
        begun_by_provider(self.meter, call)
        self._running = _Running(self.meter, call)
        self._began(self._running)

    def _began(self, running: _Running) -> None:
        """The session runs; only now a fork tells its model."""
        running.began = time.monotonic()
        _known.keep(_known.owners, self._id, id(self))
        if self._model and self._model != running.call.model:
            running.call.model = self._model
            running.attempt.request = running.attempt.request.to(self._model)
            running.call.span.sending(self._model)

    def _grow(self, running: _Running) -> None:
        """Note how long it runs, and hold more where it outgrows what is held."""
        so_far = self._so_far(running)
        running.attempt.usage = Usage(session_ms=so_far, estimated=True)
        if so_far > running.extend_at:
            running.extend_at = so_far * 3 // 2
            self.meter.settler.extend(running.call)

    def _so_far(self, running: _Running) -> int:
        """Milliseconds of it that nobody has booked yet, as far as they are known."""
        if self._kind is sessions.TRANSLATION:
            return sessions.in_frames(running.heard_ms)
        at, since = running.told or (0, running.began)
        if since is None:
            return 0
        gone_by = round((time.monotonic() - since) * 1000)
        return max(0, at + gone_by - self._booked_ms)

    @property
    def _booked_ms(self) -> int:
        return _known.booked_ms.get(self._id or "", 0)

    def _stop(self, told_ms: int | None = None) -> _Running | None:
        """It is over: by what the provider *told* at its end, else by what is known."""
        running, self._running = self._running, None
        if running is None:
            return None
        if told_ms is None:
            used = self._so_far(running)
            running.attempt.usage = Usage(session_ms=used, estimated=True)
        else:
            used = max(0, told_ms - self._booked_ms)
            running.attempt.usage = Usage()
            running.attempt.saw_usage(Usage(session_ms=used))
        _known.keep(_known.booked_ms, self._id, self._booked_ms + used)
        _known.owners.pop(self._id or "", None)
        return running

    def _failed(self, event: Mapping[str, Any]) -> None:
        """It names what it refuses; before the session runs it is the session that is refused."""
        error = event.get("error") or event
        named = get(error, "client_event_id") or event.get("client_event_id")
        if self._backends.refused(named, failure(error)):
            return
        running = self._running
        if running is not None and running.began is None:
            self._stop()
            running.attempt.failure = failure(error)
            running.attempt.ended_free()
            running.metered.end("error")
