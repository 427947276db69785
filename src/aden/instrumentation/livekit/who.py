"""Who asks inside LiveKit, and where: the one answer for all lanes, whichever SDK sends.

LiveKit copies its context variables into every task that it starts, so the job, the agent and the
speech are found from wherever a plugin sends its request. What is not there is left out.
"""

import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from aden.core.attribution import NOBODY
from aden.core.place import NOWHERE, Place
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.job import current_job, session_of, text
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS
from aden.instrumentation.livekit.turn import current_turn, told_of_refusal
from aden.metering.asking import NOBODY_ASKING, Asking


@dataclass(slots=True)
class SpeechNode:
    """A node by which an agent speaks, writes or hears is at work; the last, if it is its own."""

    lasts: bool = True
    """Tasks and timers that it has set off know it still when it is over."""


speech_node: ContextVar[SpeechNode | None] = ContextVar("aden_speech_node", default=None)
"""Inside of which one this runs; None outside of one."""


@contextmanager
def at_speech_node() -> Iterator[None]:
    """What runs in this block is a part of what is said or heard."""
    node = SpeechNode()
    token = speech_node.set(node)
    try:
        yield
    finally:
        node.lasts = False
        speech_node.reset(token)


@dataclass(frozen=True, slots=True)
class _Listening:
    """A session begins to listen, perhaps in the middle of an agent's speech."""

    session: Any
    activity: Any
    speech: Any
    """What LiveKit says of that speech, in whatever listens from then on: long after its end."""


_listening: ContextVar[_Listening | None] = ContextVar("aden_livekit_listening", default=None)


async def session_start(
    wrapped: Callable[..., Awaitable[Any]], session: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``AgentSession.start``: what it starts, to listen above all, is this session's."""
    with _listens(session):
        if (meter := active_meter()) is not None:
            meter.asking()  # the job's session begins here, in the context of its entrypoint
        return await wrapped(*args, **kwargs)


async def agent_start(
    wrapped: Callable[..., Awaitable[Any]], activity: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``AgentActivity._start_session``: an agent listens for its session.

    A program may switch agents from anywhere: an event's handler, another session of the job.
    """
    with _listens(activity.session):
        return await wrapped(*args, **kwargs)


def stt_start(wrapped: Callable[..., Any], recognition: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``AudioRecognition._update_stt``, by which a session begins to listen anew."""
    with _listens(recognition._session):
        return wrapped(*args, **kwargs)


def who_asks() -> Asking:
    """On whose account, and at which point of a call, a request is made at this moment.

    Outside of a job nobody is known, but a session there still has agents and speech.
    """
    if "livekit.agents" not in sys.modules:
        return NOBODY_ASKING
    context = current_job()
    session, activity, speech = _at_work()
    session = session or _primary_session(context)
    if context is None and session is None:
        return NOBODY_ASKING
    agent = getattr(activity, "agent", None) or getattr(session, "_agent", None)
    whole = None if context is None else session_of(context)
    participant = participant_of(session)
    job = NOWHERE if whole is None else whole.place
    place = Place(
        job_id=job.job_id,
        room_id=job.room_id,
        participant_id=text(participant, "sid"),
        agent=text(agent, "label"),
        turn_id=text(speech, "_generation_id"),
        speech_id=text(speech, "id"),
    )
    if whole is None:
        return Asking(NOBODY, place, None, _speaks(), _filler(), BUSY_WAIT_MS)
    account = whole.attribution
    if account.participant_id is None and (identity := text(participant, "identity")) is not None:
        account = replace(account, participant_id=pseudonym(identity))
    return Asking(account, place, whole, _speaks(), _filler(), BUSY_WAIT_MS)


def _speaks() -> bool:
    """Whether what is asked here is a part of what is said or heard; an answer is neither."""
    node = speech_node.get()
    return node is not None and node.lasts and current_turn.get() is None


def _filler() -> Callable[[float], None] | None:
    """What lets the caller hear something while an answer's request waits."""
    turn, meter = current_turn.get(), active_meter()
    message = None if turn is None or meter is None else meter.options.heard.filler_message
    return partial(turn.delayed, message) if turn is not None and message else None


def current_session() -> Any:
    """The ``AgentSession`` inside which this runs; None outside of one."""
    return _at_work()[0]


def _at_work() -> tuple[Any, Any, Any]:
    """The session, the agent's activity and the speech of which what runs here is a part."""
    activity = context_variable("_AgentActivityContextVar")
    speech = context_variable("_SpeechHandleContextVar")
    listening = _listening.get()
    if listening is None:
        return getattr(activity, "session", None), activity, speech
    activity = None if activity is listening.activity else activity
    speech = None if speech is listening.speech else speech
    return getattr(activity, "session", None) or listening.session, activity, speech


@contextmanager
def _listens(session: Any) -> Iterator[None]:
    activity = context_variable("_AgentActivityContextVar")
    speech = context_variable("_SpeechHandleContextVar")
    token = _listening.set(_Listening(session, activity, speech))
    told = told_of_refusal.set(frozenset())  # what the caller says from then on is no function's
    try:
        yield
    finally:
        told_of_refusal.reset(told)
        _listening.reset(token)


@lru_cache(maxsize=256)
def pseudonym(identity: str) -> str:
    """A participant's identity as spend is told apart by: it may be a telephone number."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def context_variable(name: str) -> Any:
    """What one of LiveKit's context variables says; None where this version lacks it."""
    variable = getattr(sys.modules.get("livekit.agents.voice.agent_activity"), name, None)
    return None if variable is None else variable.get(None)


def _primary_session(context: Any) -> Any:
    return getattr(context, "_primary_agent_session", None)


def participant_of(session: Any) -> Any:
    """Whom a session speaks with, or spoke with before it was closed; None where nobody is there.

    A session without a room has none.
    """
    room_io = getattr(session, "_room_io", None)
    if room_io is None:  # LiveKit forgets it
        return getattr(session, "_aden_participant", None)
    participant = getattr(room_io, "linked_participant", None)
    if participant is not None:
        session._aden_participant = participant
    return participant
