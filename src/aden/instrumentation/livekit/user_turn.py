"""``Agent.on_user_turn_completed``: what a program asks before its agent answers.

Where it looks something up by a request that is refused, LiveKit logs the error and drops the turn,
with what the user said. So the hook's failure becomes that of the answer, which is heard (`node`).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.refusal import refusal_in
from aden.instrumentation.livekit.turn import refuse_ahead

_HOOK = "on_user_turn_completed"


async def completed(
    wrapped: Callable[..., Awaitable[None]], activity: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``AgentActivity._user_turn_completed_task``, which asks the agent's hook."""
    agent = activity.agent
    if active_meter() is not None and not isinstance(vars(agent).get(_HOOK), _Hook):
        setattr(agent, _HOOK, _Hook(getattr(agent, _HOOK)))
    await wrapped(*args, **kwargs)


class _Hook:
    """An agent's own hook, in front of which we stand."""

    def __init__(self, own: Callable[..., Awaitable[None]]) -> None:
        self._own = own

    async def __call__(self, turn_ctx: Any, *args: Any, **kwargs: Any) -> None:
        try:
            await self._own(turn_ctx, *args, **kwargs)
        except Exception as error:
            refusal = refusal_in(error)
            stops = type(error).__name__ == "StopResponse"  # the program wants no answer
            if refusal is None or stops or active_meter() is None:
                raise
            # No model reads it: an answer that LiveKit began early is one to another context.
            turn_ctx.add_message(role="system", content=str(refusal))
            refuse_ahead(error)
