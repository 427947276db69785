"""``Agent.on_user_turn_completed`` and ``on_enter``: what a program asks before its agent speaks.

Where a request in there is refused, LiveKit logs the error and drops the turn, with what the user
said, or the greeting. So the hook's failure becomes that of the answer, which is heard (`node`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.heard import takes_up
from aden.instrumentation.livekit.realtime_caller import spoken_to
from aden.instrumentation.livekit.refusal import refusal_in
from aden.instrumentation.livekit.turn import refuse_ahead

_HOOK = "on_user_turn_completed"
_ENTERS = "AgentTask_on_enter"
"""LiveKit's name for the task in which it asks ``on_enter``."""


async def completed(
    wrapped: Callable[..., Awaitable[None]], activity: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``AgentActivity._user_turn_completed_task``, which asks the agent's hook."""
    if active_meter() is None:
        await wrapped(*args, **kwargs)
        return
    hook = _Hook.of(activity)
    hook.turns += 1
    try:
        await wrapped(*args, **kwargs)
    finally:
        hook.turns -= 1
        hook.take_out()


class _Hook:
    """An agent's own hook, in front of which we stand while turns are completed."""

    def __init__(self, activity: Any) -> None:
        self.turns = 0
        self._activity = activity
        self._agent = agent = activity.agent
        self._set = vars(agent).get(_HOOK)
        """The program's own, where it has put one on the object."""
        self._own: Callable[..., Awaitable[None]] = getattr(agent, _HOOK)

    @classmethod
    def of(cls, activity: Any) -> "_Hook":
        """That of the agent at work, put in if need be."""
        found = vars(activity.agent).get(_HOOK)
        if not isinstance(found, cls):
            found = cls(activity)
            setattr(activity.agent, _HOOK, found)
        return found

    def take_out(self) -> None:
        """Leave the agent as it was, once no turn needs it."""
        if self.turns or vars(self._agent).get(_HOOK) is not self:
            return
        delattr(self._agent, _HOOK)
        if self._set is not None:
            setattr(self._agent, _HOOK, self._set)

    async def __call__(self, turn_ctx: Any, *args: Any, **kwargs: Any) -> None:
        spoken_to(self._activity.session)  # LiveKit writes nothing down of what a model hears
        try:
            await self._own(turn_ctx, *args, **kwargs)
        except Exception as error:
            refusal = refusal_in(error)
            stops = type(error).__name__ == "StopResponse"  # the program wants no answer
            if refusal is None or stops or active_meter() is None:
                raise
            if self._activity.llm is None:  # LiveKit makes no answer: what the hook says is one
                await _keep(self._agent, kwargs.get("new_message"))
                _answer_instead(self._activity, error)
                raise
            # No model reads it: an answer that LiveKit began early is one to another context.
            turn_ctx.add_message(role="system", content=str(refusal))
            refuse_ahead(error)


async def _keep(agent: Any, message: Any) -> None:
    """Let what was said stay in the agent's history, where LiveKit leaves that to the program."""
    if message is not None and agent.chat_ctx.get_by_id(message.id) is None:
        history = agent.chat_ctx.copy()
        history.insert(message)
        await agent.update_chat_ctx(history, exclude_invalid_function_calls=False)


def speech_task(wrapped: Callable[..., Any], activity: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``AgentActivity._create_speech_task``; one of them asks the agent's on_enter."""
    if kwargs.get("name") == _ENTERS and args and active_meter() is not None:
        args = (_entering(activity, args[0]), *args[1:])
    return wrapped(*args, **kwargs)


async def _entering(activity: Any, enters: Awaitable[None]) -> None:
    try:
        await enters
    except Exception as error:
        _answer_instead(activity, error)
        raise


def _answer_instead(activity: Any, error: Exception) -> None:
    """Let the agent answer, by the refusal, where what it was to say by itself failed by one."""
    meter, refusal = active_meter(), refusal_in(error)
    if meter is None or refusal is None or not takes_up(refusal):
        return
    try:
        if activity.llm is None:
            activity.session.say(_failing(error))
        else:
            refuse_ahead(error)
            activity.session.generate_reply()
    except Exception as why:  # the session is closing, or has no voice
        meter.cannot("refusal", f"a refusal could not be spoken: {why}")


async def _failing(error: Exception) -> AsyncIterator[str]:
    raise error
    yield ""
