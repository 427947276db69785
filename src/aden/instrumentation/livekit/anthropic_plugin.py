"""What LiveKit's plugin for Anthropic keeps for itself: its model, and the first counts."""

from dataclasses import replace
from types import CellType, FunctionType
from typing import Any

import wrapt

from aden.core.usage import Usage, token_count

_SENDS = "_create_anthropic_stream"
"""By which its stream sends: a closure over the LLM, whose model it reads."""


class _Degraded(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """The plugin's LLM with another model among its options."""

    def __init__(self, llm: Any, model: str) -> None:
        super().__init__(llm)
        self._self_options = replace(llm._opts, model=model)

    @property
    def _opts(self) -> Any:
        return self._self_options


def takes_a_model(stream: Any) -> bool:
    """Whether `send_model` can be heard."""
    code = getattr(getattr(stream, _SENDS, None), "__code__", None)
    return code is not None and "self" in code.co_freevars


def send_model(stream: Any, model: str) -> None:
    """Let the stream ask *model*."""
    sends = getattr(stream, _SENDS)
    cells, at = list(sends.__closure__), sends.__code__.co_freevars.index("self")
    cells[at] = CellType(_Degraded(cells[at].cell_contents, model))
    closure = tuple(cells)
    name, defaults = sends.__name__, sends.__defaults__
    bound = FunctionType(sends.__code__, sends.__globals__, name, defaults, closure)
    setattr(stream, _SENDS, bound)


def count_once(stream: Any) -> None:
    """The plugin adds the output of the answer's end to that of its beginning, which it includes.

    Source: "The token counts shown in the usage field of the message_delta event are cumulative",
    https://platform.claude.com/docs/en/build-with-claude/streaming
    """
    parse = getattr(stream, "_parse_event", None)
    if parse is None or not hasattr(stream, _SENDS):
        return

    def _parse_event(event: Any) -> Any:
        chunk = parse(event)
        if getattr(event, "type", None) == "message_start":
            stream._output_tokens = 0
        return chunk

    stream._parse_event = _parse_event


def prompt_so_far(stream: Any) -> Usage | None:
    """What Anthropic counted of the prompt, which it tells before it answers; None: not yet."""
    if not hasattr(stream, _SENDS):
        return None
    names = ("_input_tokens", "_cache_read_tokens", "_cache_creation_tokens")
    plain, read, written = (token_count(getattr(stream, name, None)) or 0 for name in names)
    if not plain + read + written:
        return None
    return Usage(plain + read + written, cached_tokens=read, cache_write_tokens=written)
