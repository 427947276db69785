"""``python agent.py console --text``: a refused turn does not end LiveKit's console.

The console asks `session.run` for what is typed, and whatever that raises ends it, without a word
of why. A refusal is an answer, which the agent has given: who types sees it, and goes on.
"""

from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.refusal import refusal_in

_typed: ContextVar[bool] = ContextVar("aden_livekit_typed", default=False)
"""Whether this runs for what somebody types into the console."""


def acquire_io(wrapped: Callable[..., None], _console: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``AgentsConsole.acquire_io``, which keeps the context that the console asks in.

    What the program itself asks `session.run` is in another.
    """
    token = _typed.set(True)
    try:
        wrapped(*args, **kwargs)
    finally:
        _typed.reset(token)


def run(wrapped: Callable[..., Any], _session: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``AgentSession.run``."""
    result = wrapped(*args, **kwargs)
    return _Typed(result) if _typed.get() and active_meter() is not None else result


class _Typed:
    """Awaited, a run with the events that there were, refused or not."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            yield from self._result.__await__()
        except Exception as error:
            if refusal_in(error) is None:
                raise
        return self._result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)
