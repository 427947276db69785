"""What the program and the caller hear where a realtime reply is refused."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from aden.budgets.heard import DEFAULT_MESSAGE
from aden.errors import RequestCancelledError
from aden.instrumentation.livekit.heard import RefusedTurn, hear
from aden.instrumentation.livekit.who import context_variable, current_session
from aden.metering.meter import Meter

_messages: "WeakSet[Any]" = WeakSet()
"""The speeches that say a refusal."""
_spoken_to: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()
"""How often the caller of an agent's session has spoken."""
_at_work: set[asyncio.Task[None]] = set()


class Caller:
    """Who is at the other end of a realtime session, through the agent's session if it has one."""

    def __init__(self, meter: Meter, session: Any, model: Any) -> None:
        self._meter = meter
        self._session = session
        self._model = model
        self._agents = current_session()

    @property
    def has_agent(self) -> bool:
        """Whether an agent speaks by this session."""
        return self._agents is not None

    @property
    def is_told(self) -> bool:
        """Whether what is asked for at this moment is what a refusal says."""
        return context_variable("_SpeechHandleContextVar") in _messages

    def speaks(self) -> None:
        """The caller begins to speak, or is answered though nothing told of it."""
        if self._agents is not None:
            spoken_to(self._agents)

    def refused(self, refusal: RequestCancelledError) -> None:
        """Tell of it: by the ``error`` event at once, and as ``on_refusal`` says."""
        tell(self._session, self._model, refusal)
        if self._agents is not None:
            task = asyncio.create_task(self._tell(self._agents, refusal))
            _at_work.add(task)
            task.add_done_callback(_at_work.discard)

    async def _tell(self, session: Any, refusal: RequestCancelledError) -> None:
        over = _Over()
        speech: Any = None
        try:
            text = await self._text(session, refusal, over)
            speech = session.say(text) if text else None
        except RequestCancelledError:
            return  # the program speaks
        except RuntimeError as error:  # the session has no voice, or is closing
            self._meter.cannot("refusal", f"a refusal could not be spoken: {error}")
        except Exception:
            self._meter.cannot("refusal", "a refusal could not be told", trace=True)
        if hasattr(speech, "_error"):
            _messages.add(speech)
            speech._error = refusal  # session.run() raises it, whatever is said
        over.follow(speech)

    async def _text(self, session: Any, refusal: RequestCancelledError, over: "_Over") -> str:
        turn = RefusedTurn(refusal, session, session.current_agent)
        try:
            return await hear(self._meter, turn, over, _asked(session))
        except RequestCancelledError:
            raise
        except Exception:  # of ours, or of an agent's own attributes: not silence
            self._meter.cannot("refusal", "it could not be read", trace=True)
            return DEFAULT_MESSAGE


def spoken_to(session: Any) -> None:
    """The caller of an agent's session says something else, which is refused by itself."""
    _spoken_to[session] = _spoken_to.get(session, 0) + 1


def tell(session: Any, model: Any, refusal: RequestCancelledError) -> None:
    """The ``error`` event of a realtime session."""
    error = sys.modules["livekit.agents.llm"].RealtimeModelError(
        timestamp=time.time(), label=model.label, error=refusal, recoverable=True
    )
    session.emit("error", error)


class _Over:
    """The end of what a refusal says, before there is a speech."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], object]] = []

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """As of LiveKit's ``SpeechHandle``."""
        self._callbacks.append(callback)

    def follow(self, speech: Any) -> None:
        """It is the end of *speech*; None: nothing is said."""
        for callback in self._callbacks:
            if speech is None:
                callback(None)
            else:
                speech.add_done_callback(callback)


def _asked(session: Any) -> str:
    """By which user turns are told apart: what was written last, and how often one spoke."""
    written = next((i.id for i in reversed(session.history.items) if _of_user(i)), "")
    return f"{written} {_spoken_to.get(session, 0)}"


def _of_user(item: Any) -> bool:
    return getattr(item, "role", None) == "user"
