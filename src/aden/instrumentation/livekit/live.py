"""``llm.DuplexSession``: models that listen and speak at once, billed by the time of the session.

Those of OpenAI's protocol (GPT-Live) show what goes over their WebSocket, so `SessionMeter` follows
them as it does those of the openai SDK: the session is one Call, asked for before it starts.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.listening import listen
from aden.instrumentation.livekit.plugin import address_of
from aden.instrumentation.livekit.realtime_refusal import refusal_class
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS
from aden.instrumentation.openai import sessions
from aden.instrumentation.openai.session_meter import SessionMeter
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.metering.unasked import begun_by_provider


def made(wrapped: Callable[..., None], session: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``DuplexSession.__init__``."""
    wrapped(*args, **kwargs)
    meter = active_meter()
    names = (each.__module__ for each in type(session).__mro__)
    if meter is None or not any("gpt_live" in name for name in names):
        return
    try:
        Live(meter, session, args[0] if args else kwargs["duplex_model"]).begin()
    except Exception:
        meter.cannot("gate", "a live session could not be wrapped", trace=True)


def is_metered(session: Any) -> bool:
    """Whether a duplex session is metered here, so not by what LiveKit tells of its time."""
    return hasattr(session, "_aden_live")


class Live:
    """One session; each connection of it begins to bill anew."""

    def __init__(self, meter: Meter, session: Any, model: Any) -> None:
        self._meter = meter
        self._session = session
        self._model = model
        self._admitted: Call | None = None

    def begin(self) -> None:
        """Listen, and stand in front of its start."""
        session = self._session
        hears = {
            "openai_client_event_queued": self._sent,
            "openai_server_event_received": self._received,
            "session_reconnected": self._reconnected,
        }
        listen(self._meter, session, hears, "a live session")
        session._update_session = partial(self._start, session._update_session)
        session.aclose = partial(self._aclose, session.aclose)
        session._aden_live = self

    def _socket(self) -> SessionMeter:
        known: SessionMeter | None = vars(self).get("_known")
        if known is None:  # the model can tell its address only when it is made
            host, port = address_of(self._model)
            client = SimpleNamespace(base_url=SimpleNamespace(host=host, port=port))
            lane = Lane(refusal_class(), BUSY_WAIT_MS, component="realtime")
            known = SessionMeter(
                self._meter, client, sessions.LIVE, str(self._model.model or ""), lane=lane
            )
            self._known = known
        return known

    async def _start(
        self, start: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any
    ) -> None:
        """It is configured and starts: the last moment at which nothing is billed."""
        if active_meter() is None or self._admitted is not None:
            await start(*args, **kwargs)
            return
        call = self._socket().outgoing({"type": sessions.LIVE.begins})
        if call is not None:
            try:
                await aadmit(self._meter, call)
            except RequestCancelledError as refusal:
                self._meter.settle(call, refusal)
                raise
            except BaseException:
                self._meter.settle(call)
                raise
        self._admitted = call
        await start(*args, **kwargs)

    async def _aclose(
        self, aclose: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any
    ) -> None:
        try:
            await aclose(*args, **kwargs)
        finally:
            self._socket().end("abandoned")
            if self._admitted is not None:
                self._meter.settle(self._admitted)  # where it never started, at nothing

    def _sent(self, event: dict[str, Any]) -> None:
        socket = self._socket()
        admitted = self._admitted
        starts = event.get("type") == sessions.LIVE.begins
        if starts and admitted is not None and admitted.joinable and not admitted.attempts:
            socket.sent(admitted, event)
            return
        call = socket.outgoing(event)
        if call is not None:  # LiveKit connects anew, or asks the session's backend
            begun_by_provider(self._meter, call)
            socket.sent(call, event)

    def _received(self, event: dict[str, Any]) -> None:
        self._socket().hear(event)

    def _reconnected(self, _event: Any) -> None:
        self._socket().broke(ConnectionError("the live session reconnected"))
