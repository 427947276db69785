"""``llm_node``: LiveKit asks it for an agent's answer, and a refusal is one too.

Where a refusal leaves the node, the caller gets to hear what is configured (`heard`), as the
agent's answer.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aden.budgets.heard import DEFAULT_MESSAGE
from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.livekit import realtime_caller
from aden.instrumentation.livekit.heard import RefusedTurn, hear
from aden.instrumentation.livekit.refusal import refusal_in
from aden.instrumentation.livekit.turn import Turn, current_turn, is_told, refused_ahead
from aden.instrumentation.livekit.who import context_variable, speech_node


async def inference(
    wrapped: Callable[..., Awaitable[bool]], _module: Any, args: Any, kwargs: Any
) -> bool:
    """Wrapper of ``voice.generation._llm_inference_task``: refusals become answers."""
    if active_meter() is None or len(args) < 5:  # another LiveKit, which calls it otherwise
        return await wrapped(*args, **kwargs)
    node, chat_ctx, tool_ctx, model_settings, data, *rest = args
    try:
        turn = Turn(
            data,
            context_variable("_SpeechHandleContextVar"),
            context_variable("_AgentActivityContextVar"),
        )
        node = _answering(node, turn)
    except Exception as error:  # then a refusal is an error to LiveKit
        unfollowed(error)
        return await wrapped(*args, **kwargs)
    current_turn.set(turn)  # in the node's own task: nothing else sees it
    try:
        return await wrapped(node, chat_ctx, tool_ctx, model_settings, data, *rest, **kwargs)
    finally:
        aside(turn.over)


async def said(
    wrapped: Callable[..., Awaitable[None]], activity: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``AgentActivity._tts_task``, which ``session.say`` makes: a text may be asked for.

    A stream of a program's that fails by a refusal would leave the speech empty.
    """
    text, handle = kwargs.get("text"), kwargs.get("speech_handle")
    if active_meter() is not None and hasattr(text, "__aiter__"):
        kwargs = {**kwargs, "text": _words(text, Turn(None, handle, activity))}
    await wrapped(*args, **kwargs)


def inference_shown(request: Request) -> None:
    """A span of ours shows what an ``llm_node`` asks an SDK: LiveKit's need not show it too."""
    if request.operation == "chat" and current_turn.get() is not None:
        gen_ai = sys.modules.get("livekit.agents.telemetry.gen_ai")
        mark = getattr(gen_ai, "mark_inference_span_recorded", None)
        if mark is not None:
            mark()


def _answering(node: Callable[..., Any], turn: Turn) -> Callable[..., Awaitable[Any]]:
    """The agent's ``llm_node``, with an answer to what is refused in it."""

    async def llm_node(chat_ctx: Any, tools: Any, model_settings: Any) -> Any:
        try:
            if (error := refused_ahead()) is not None:
                raise error
            answer = node(chat_ctx, tools, model_settings)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except Exception as error:
            return _instead(turn, error, chat_ctx)
        return _chunks(answer, turn, chat_ctx) if hasattr(answer, "__aiter__") else answer

    return llm_node


async def _chunks(answer: Any, turn: Turn, chat_ctx: Any) -> AsyncIterator[Any]:
    try:
        async for chunk in answer:
            yield chunk
    except Exception as error:
        async for text in _instead(turn, error, chat_ctx):
            yield text
    finally:
        if hasattr(answer, "aclose"):
            await answer.aclose()


async def _words(text: Any, turn: Turn) -> AsyncIterator[str]:
    try:
        async for word in _answers(text):
            yield word
    except Exception as error:
        # An error of the program's own, raised after it, would cut off what is said.
        if instead := await _said_instead(turn, error):
            yield instead
    finally:
        if hasattr(text, "aclose"):
            await text.aclose()


async def _said_instead(turn: Turn, error: Exception) -> str:
    try:
        return await _line(turn, error, turn.activity.agent.chat_ctx)
    except Exception:
        if refusal_in(error) is None:
            raise
        # The program speaks; LiveKit would wait for ever for a speech whose words fail.
        turn.handle._error = error
        return ""


async def _answers(text: Any) -> AsyncIterator[str]:
    """The same words; what they ask is an answer, though it is a node that speaks who reads it."""
    words = aiter(text)
    while True:
        token = speech_node.set(None)
        try:
            word = await anext(words)
        except StopAsyncIteration:
            return
        finally:
            speech_node.reset(token)
        yield word


async def _instead(turn: Turn, error: Exception, chat_ctx: Any) -> AsyncIterator[str]:
    """What the agent answers where its node failed by a refusal.

    Raises:
        Exception: The node's own error, if it is not the refusal itself; so LiveKit logs it.
    """
    if text := await _line(turn, error, chat_ctx):
        yield text
    if not isinstance(error, RequestCancelledError):
        raise error


async def _line(turn: Turn, error: Exception, chat_ctx: Any) -> str:
    """What is said instead, empty where it is nothing; or raise the error."""
    refusal = refusal_in(error)
    if refusal is None:
        raise error
    try:
        return await _heard(turn, refusal, chat_ctx)
    except RequestCancelledError:
        raise error from error.__cause__


async def _heard(turn: Turn, refusal: RequestCancelledError, chat_ctx: Any) -> str:
    """What the agent answers instead, empty where it is nothing; or raise the refusal."""
    meter = active_meter()
    if meter is None or turn.activity is None or turn.handle is None:
        raise refusal
    await turn.scheduled()
    if not is_told(refusal, turn.activity.llm):
        _tell(turn.activity, refusal)
    refused = RefusedTurn(refusal, turn.activity.session, turn.activity.agent)
    try:
        return await hear(meter, refused, turn.handle, _asked(chat_ctx, refused))
    except RequestCancelledError:
        raise
    except Exception:  # of ours, or of an agent's own attributes: not silence
        meter.cannot("refusal", "it could not be read", trace=True)
        return DEFAULT_MESSAGE


def _tell(activity: Any, refusal: RequestCancelledError) -> None:
    """The ``error`` event of a request that no stream of the agent's LLM made."""
    llm, module = activity.llm, sys.modules["livekit.agents.llm.llm"]
    if (talk := getattr(activity, "realtime_llm_session", None)) is not None:
        realtime_caller.tell(talk, llm, refusal)
    elif llm is not None:
        event = module.LLMError(
            timestamp=time.time(), label=llm.label, error=refusal, recoverable=True
        )
        llm.emit("error", event)


def _asked(chat_ctx: Any, refused: RefusedTurn) -> str:
    """By which user turns are told apart: the last thing that the user said."""
    for items in (chat_ctx.items, refused.session.history.items):
        for item in reversed(items):
            if getattr(item, "role", None) == "user":
                return str(item.id)
    return ""
