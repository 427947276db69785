"""What a caller hears where a turn is refused, and what becomes of the call."""

import asyncio
import contextlib
import contextvars
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary, WeakSet

from aden.budgets.heard import DEFAULT_MESSAGE, Heard, Line, check_message, check_on_refusal
from aden.errors import ConfigurationError, RequestCancelledError
from aden.instrumentation.livekit.job import current_job
from aden.instrumentation.livekit.turn import current_turn, told_of_refusal
from aden.metering.meter import Meter

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentSession
    from livekit.agents.voice import SpeechHandle

HEARD_WITHIN_S = 0.14
"""After this a caller hears the refusal message, whatever a function of the program still does.

With the wait for a refund before it, the caller hears something after 300 ms."""
SOUND_WITHIN_S = 0.2
"""So long a sound file may take to begin; then the agent speaks the line."""
FUNCTION_S = 10.0
"""How long a function of the program may take in all."""
AGAIN_S = 10.0
"""Who was told so long ago, and has said nothing since, is told again: better than silence."""
_NOTHING = Line("")
AUDIO_RATE = 24_000
"""Samples a second where the session does not say what it plays."""

_handed_over: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()
"""By session, the user turn that was handed over last."""
_told_last: "WeakKeyDictionary[Any, _Told]" = WeakKeyDictionary()
_closing: "WeakSet[Any]" = WeakSet()
_met: "WeakSet[RequestCancelledError]" = WeakSet()
"""Refusals of which is done what is configured."""
_at_work: set[asyncio.Task[object]] = set()


@dataclass(frozen=True, slots=True)
class RefusedTurn:
    """A turn of an agent whose request was refused; what functions of the program are told."""

    error: RequestCancelledError
    session: "AgentSession[Any]"
    agent: "Agent"


@dataclass(slots=True)
class _Told:
    """What a session's caller was told last, and to which user turn."""

    asked: str
    line: Line
    over_at: float | None = None


async def hear(meter: Meter, refused: RefusedTurn, handle: Any, asked: str) -> str:
    """Do what is configured, and give what the agent answers; empty: nothing.

    Args:
        meter: The house.
        refused: The turn.
        handle: Its speech.
        asked: By which one user turn is told from the next; each is handed over once, and told
            the same once.

    Raises:
        RequestCancelledError: The refusal, where the program itself acts on it.
    """
    _met.add(refused.error)
    heard = _heard(meter, refused)
    if heard.on_refusal == "raise":
        raise refused.error
    until = asyncio.get_running_loop().time() + HEARD_WITHIN_S
    line = None
    if heard.on_refusal == "hand_over":
        line = await _hand_over(meter, heard, refused, asked, until)
    if line is None:
        line = await _message(meter, heard, refused, until)
    sound = await _sound(meter, refused.session, line)
    if _is_told(refused.session, asked, line):
        line, sound = _NOTHING, None
    speech: Any = None if sound is None else _play(refused.session, line, sound)
    if line != _NOTHING:
        _tells(refused.session, asked, line, speech or handle)
    if heard.on_refusal == "close":
        _close(refused.session, speech or handle)
    for refused_speech in (handle, speech):
        if hasattr(refused_speech, "_error"):
            refused_speech._error = refused.error  # session.run() raises it, whatever is said
    return "" if speech is not None else line.text


def takes_up(refusal: RequestCancelledError) -> bool:
    """Whether nobody has let the caller hear of it, or left that to the program; who asks does."""
    if refusal in _met:
        return False
    _met.add(refusal)
    return True


def _is_told(session: Any, asked: str, line: Line) -> bool:
    last = _told_last.get(session)
    if last is None or (last.asked, last.line) != (asked, line):
        return False
    now = asyncio.get_running_loop().time()
    return last.over_at is None or now - last.over_at < AGAIN_S


def _tells(session: Any, asked: str, line: Line, speech: Any) -> None:
    told = _told_last[session] = _Told(asked, line)

    def over(speech: Any) -> None:
        if speech is not None and not speech.interrupted:
            told.over_at = asyncio.get_running_loop().time()
        elif _told_last.get(session) is told:  # nobody has heard it
            del _told_last[session]

    speech.add_done_callback(over)


async def _sound(meter: Meter, session: Any, line: Line) -> AsyncIterator[Any] | None:
    """What a line's sound file plays; None where the agent is to speak the line."""
    if line.audio is None or session.output.audio is None:
        return None
    from livekit.agents.utils.audio import audio_frames_from_file

    rate = session.output.audio.sample_rate or AUDIO_RATE
    frames = audio_frames_from_file(str(line.audio), rate)
    try:
        async with asyncio.timeout(SOUND_WITHIN_S):
            first = await anext(frames)
    except Exception as error:  # it is gone, or holds nothing that can be played
        meter.cannot("refusal", f"the sound file {str(line.audio)!r} is silent: {error!r}")
        return None
    return _from(first, frames)


async def _from(first: Any, frames: AsyncGenerator[Any, None]) -> AsyncIterator[Any]:
    async with contextlib.aclosing(frames):
        yield first
        async for frame in frames:
            yield frame


def _play(session: Any, line: Line, sound: AsyncIterator[Any]) -> Any:
    """The speech of a sound; what a session speaks is metered and charged, and never refused."""
    try:
        return session.say(line.text, audio=sound)
    except RuntimeError:  # the session is closing: it speaks its last turn to the end
        return None


def _heard(meter: Meter, refused: RefusedTurn) -> Heard:
    """The agent's word before the budget's, that before the process's; each setting by itself."""
    process, agent = meter.options.heard, refused.agent
    budget = meter.policy_for(meter.asking()).budget(refused.error.budget_id)
    said = _of_agent(meter, agent, "aden_on_refusal", check_on_refusal)
    message = _of_agent(meter, agent, "aden_refusal_message", check_message)
    return Heard(
        said or (budget and budget.on_refusal) or process.on_refusal,
        message or (budget and budget.refusal_message) or process.refusal_message,
        getattr(agent, "aden_hand_over", None) or process.hand_over,
    )


def _of_agent(meter: Meter, agent: Any, name: str, check: Callable[[object, str], None]) -> Any:
    given = getattr(agent, name, None)
    if given is None:
        return None
    try:
        check(given, f"{type(agent).__name__}.{name}")
    except ConfigurationError as error:
        meter.cannot("refusal", str(error))
        return None
    return given


async def _hand_over(
    meter: Meter, heard: Heard, refused: RefusedTurn, asked: str, until: float
) -> Line | None:
    """What the program's function wants said; None: the refusal message."""
    if heard.hand_over is None:
        meter.cannot("refusal", "on_refusal is 'hand_over', and there is no hand_over function")
        return None
    if _handed_over.get(refused.session) == asked:
        return None  # what it did is refused as well
    _handed_over[refused.session] = asked
    return await _line(meter, "hand_over", heard.hand_over, refused, until)


async def _message(meter: Meter, heard: Heard, refused: RefusedTurn, until: float) -> Line:
    message = heard.refusal_message
    if isinstance(message, str):
        return Line(message)
    if isinstance(message, Line):
        return message
    line = await _line(meter, "refusal_message", message, refused, until)
    if line is not None:
        return line
    process = meter.options.heard.refusal_message
    if isinstance(process, Line):
        return process
    return Line(process if isinstance(process, str) else DEFAULT_MESSAGE)


async def _line(
    meter: Meter,
    setting: str,
    function: Callable[[Any], object],
    refused: RefusedTurn,
    until: float,
) -> Line | None:
    """What *function* gives; None where it fails, or is not done when the caller is to hear it."""
    if setting in told_of_refusal.get():
        return None
    apart = contextvars.copy_context()
    apart.run(current_turn.set, None)  # what it asks a model is no answer of the agent
    apart.run(told_of_refusal.set, told_of_refusal.get() | {setting})
    task = asyncio.create_task(_call(meter, setting, function, refused), context=apart)
    _at_work.add(task)
    task.add_done_callback(_at_work.discard)
    left_s = until - asyncio.get_running_loop().time()
    done, _ = await asyncio.wait({task}, timeout=max(0.0, left_s))
    if done and task.cancelled():  # something that it waited for was
        meter.cannot("refusal", f"{function!r} was cancelled")
        return None
    given = task.result() if done else None
    if given is None or isinstance(given, Line):
        return given
    if isinstance(given, str):
        return Line(given)
    if _is_speech(given):
        given._error = refused.error  # session.run() raises it, whatever is said
        return _NOTHING
    meter.cannot("refusal", f"{function!r} gave {given!r:.100}; expected a text, a Line or None")
    return None


async def _call(
    meter: Meter, setting: str, function: Callable[[Any], object], refused: RefusedTurn
) -> object:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(FUNCTION_S):
            given = function(refused)
            meter.complaints.sync_hook(time.perf_counter() - started, setting)
            # A speech would wait for the refused one, which waits for this function.
            return await given if inspect.isawaitable(given) and not _is_speech(given) else given
    except TimeoutError:
        meter.cannot("refusal", f"{function!r} took longer than {FUNCTION_S:.0f} s")
    except Exception:
        meter.cannot("refusal", f"{function!r} raised", trace=True)
    return None


def _is_speech(given: Any) -> TypeGuard["SpeechHandle"]:
    from livekit.agents.voice import SpeechHandle

    return isinstance(given, SpeechHandle)


def _close(session: Any, speech: Any) -> None:
    """End the session when the speech is over, and with it the job whose session it is."""
    if session in _closing:
        return
    _closing.add(session)
    speech.add_done_callback(lambda _speech: session.shutdown())
    context = current_job()
    if context is not None and context._primary_agent_session is session:
        session.once("close", lambda _event: context.shutdown(reason="aden: refused"))
