"""Who asks inside LiveKit, and where: the one answer for all lanes, whichever SDK sends.

LiveKit copies its context variables into every task that it starts, so the job, the agent and the
speech are found from wherever a plugin sends its request. What is not there is left out.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aden.core.attribution import NOBODY, Attribution, from_metadata
from aden.core.place import Place
from aden.metering.asking import NOBODY_ASKING, Asking

_session: ContextVar[Any] = ContextVar("aden_livekit_session", default=None)


async def session_start(
    wrapped: Callable[..., Awaitable[Any]], session: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``AgentSession.start``: what it starts, to listen above all, is this session's."""
    token = _session.set(session)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        _session.reset(token)


def who_asks() -> Asking:
    """On whose account, and at which point of a call, a request is made at this moment.

    The account is the job's: its own id as the session, and what its dispatcher put into its
    metadata. Outside of a job nobody is known, but a session there still has agents and speech.
    """
    job_module = sys.modules.get("livekit.agents.job")
    if job_module is None:
        return NOBODY_ASKING
    context = job_module.get_job_context(required=False)
    activity = context_variable("_AgentActivityContextVar")
    speech = context_variable("_SpeechHandleContextVar")
    session = current_session() or _primary_session(context)
    if context is None and session is None:
        return NOBODY_ASKING
    agent = getattr(activity, "agent", None) or getattr(session, "_agent", None)
    job = None if context is None else context.job
    place = Place(
        job_id=_text(job, "id"),
        room_id=_text(getattr(job, "room", None), "sid"),
        participant_id=_text(_participant(session), "sid"),
        agent=_text(agent, "label"),
        turn_id=_text(speech, "_generation_id"),
        speech_id=_text(speech, "id"),
    )
    return Asking(NOBODY if job is None else _account(job), place)


def current_session() -> Any:
    """The ``AgentSession`` inside which this runs; None outside of one."""
    return getattr(context_variable("_AgentActivityContextVar"), "session", None) or _session.get()


def _account(job: Any) -> Attribution:
    ours = Attribution(agent=job.agent_name or None, session_id=job.id or None)
    return _from_job_metadata(job.metadata).over(ours)


def _from_job_metadata(text: str) -> Attribution:
    try:
        metadata = json.loads(text) if text else {}
    except ValueError:
        return NOBODY
    return from_metadata(metadata) if isinstance(metadata, dict) else NOBODY


def context_variable(name: str) -> Any:
    """What one of LiveKit's context variables says; None where this version lacks it."""
    variable = getattr(sys.modules.get("livekit.agents.voice.agent_activity"), name, None)
    return None if variable is None else variable.get(None)


def _primary_session(context: Any) -> Any:
    return getattr(context, "_primary_agent_session", None)


def _participant(session: Any) -> Any:
    return getattr(getattr(session, "_room_io", None), "linked_participant", None)


def _text(source: Any, name: str) -> str | None:
    said = getattr(source, name, None)
    return said if isinstance(said, str) and said else None
