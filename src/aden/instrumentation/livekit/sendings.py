"""The sendings of an LLM plugin whose SDK we do not see, read from what it gives LiveKit.

LiveKit runs a plugin once for each attempt. Where the openai SDK runs inside, its own wrapper has
made the attempt, and nothing is counted here.
"""

import time
from dataclasses import replace
from typing import Any

from aden.core.usage import Usage, token_count
from aden.errors import RequestCancelledError
from aden.instrumentation.livekit import anthropic_plugin
from aden.instrumentation.livekit.speech import never_billed
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.metering.meter import Meter


class Sendings:
    """Follows the attempts of one stream."""

    def __init__(self, meter: Meter, call: Call, stream: Any) -> None:
        self._meter = meter
        self._call = call
        self._stream = stream
        self._others = 0
        self._mine: Attempt | None = None
        self.told: tuple[int, int] | None = None
        """Input and output tokens, as LiveKit was told them last."""
        self._began = time.perf_counter()
        self._run = stream._run
        self._send = stream._event_ch.send_nowait
        stream._run = self._attempt
        stream._event_ch.send_nowait = self._chunk
        anthropic_plugin.count_once(stream)

    async def _attempt(self) -> None:
        self._others, self._mine = len(self._call.attempts), None
        self._began = time.perf_counter()
        try:
            await self._run()
        except Exception as error:
            if (refusal := _refusal_behind(error)) is not None:
                # Of a stream below, or of a further sending: there is nothing to try again.
                raise refusal from refusal.__cause__
            if attempt := self._own():
                unheard = attempt.first_chunk_at is None
                if unheard and never_billed(error):
                    attempt.ended_free()
                attempt.silent = unheard
                self._ended(attempt)
            raise

    def cut(self) -> None:
        """It was cancelled on its way: it may be billed, whether or not a chunk was seen."""
        if attempt := self._own():
            if attempt.first_chunk_at is None:
                attempt.hung_up()
            self._ended(attempt)

    def _own(self) -> Attempt | None:
        """This attempt; None where an SDK inside made it, or a stream below was asked."""
        call = self._call
        if self._mine is None and len(call.attempts) == self._others and call.joinable:
            if not takes_a_model(self._stream):
                call.model = call.request.model  # it keeps its own
            self._mine = call.attempt(replace(call.request, model=call.model))
            self._mine.sent_at = self._began
        return self._mine

    def _ended(self, attempt: Attempt) -> None:
        prompt = anthropic_plugin.prompt_so_far(self._stream)
        if prompt is not None and attempt.outcome != "reported":
            attempt.usage = prompt

    def _chunk(self, chunk: Any) -> None:
        try:
            if chunk.usage is not None:
                self.told = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            if attempt := self._own():
                _feed(attempt, chunk)
        except Exception:
            self._meter.cannot("reader", "a chunk could not be read", trace=True)
        self._send(chunk)


def _refusal_behind(error: BaseException | None) -> RequestCancelledError | None:
    """The refusal that a plugin passes on, or has made an error of its own of.

    By causes that are named alone, unlike `refusal.refusal_in`: where an adapter asks the next LLM
    while it deals with the refusal of one before, that refusal is the context of each new error.
    """
    while error is not None and not isinstance(error, RequestCancelledError):
        error = error.__cause__
    return error


def takes_a_model(stream: Any) -> bool:
    """Whether another model can be sent than the plugin's own."""
    return hasattr(stream, "_model") or anthropic_plugin.takes_a_model(stream)


def send_model(stream: Any, model: str) -> None:
    """Send *model*, where the plugin lets us; an SDK inside that we see is told by the Call."""
    if hasattr(stream, "_model"):
        stream._model = model
    elif anthropic_plugin.takes_a_model(stream):
        anthropic_plugin.send_model(stream, model)


def _feed(attempt: Attempt, chunk: Any) -> None:
    attempt.saw_chunk()
    attempt.response_id = attempt.response_id or chunk.id
    if chunk.delta is not None and chunk.delta.content:
        attempt.saw_text(chunk.delta.content)
    for tool_call in chunk.delta.tool_calls if chunk.delta else ():
        attempt.saw_text(tool_call.name + tool_call.arguments)
    if chunk.usage is not None:
        attempt.saw_usage(_usage(chunk.usage))


def _usage(told: Any) -> Usage:
    """What a plugin tells; what its total has beyond prompt and completion is hidden output.

    Google's plugin leaves the thoughts out of the completion, and they are billed as output.
    Source: https://ai.google.dev/gemini-api/docs/thinking#pricing
    """
    prompt, output = token_count(told.prompt_tokens), token_count(told.completion_tokens)
    hidden = max(0, (token_count(told.total_tokens) or 0) - (prompt or 0) - (output or 0))
    reasoning = token_count(told.reasoning_tokens) or 0
    return Usage(
        input_tokens=prompt,
        output_tokens=None if output is None else output + hidden,
        cached_tokens=token_count(told.prompt_cached_tokens),
        cache_write_tokens=token_count(told.cache_creation_tokens),
        reasoning_tokens=reasoning + hidden,
    )
