"""How large a request is, by the openai SDK's ruler, before LiveKit makes messages of its context.

So a turn goes on from what the provider counted for the one before, whichever side measured that.
"""

from typing import Any
from weakref import WeakKeyDictionary

from aden.core.estimate import text_size
from aden.core.request import Request
from aden.instrumentation.openai.measuring import (
    IMAGE_TOKENS,
    MESSAGE_FRAMING_TOKENS,
    measure_messages,
)

_NO_MESSAGES = measure_messages(())[1]
_FUNCTION = len("function")
_TEXT_PART = len("text")
"""What a text is called that stands beside an image."""
_tools: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()
"""By tool, how large its schema is; of several that were sent together, each one's share."""


def measure_context(chat_ctx: Any) -> tuple[int, int, bool]:
    """As `measure_messages` of the messages that LiveKit makes of a ``ChatContext``."""
    size = messages = images = 0
    answers: set[str] = set()
    for item in chat_ctx.items:
        said = vars(item)  # a model of pydantic takes long to say that it lacks a name
        kind, role = said.get("type"), said.get("role", "assistant")
        if kind == "message":
            text, shown = _content(said["content"])
            size, images = size + text, images + shown
        elif kind == "function_call":
            called = (said["call_id"], said["name"], said["arguments"])
            size += _FUNCTION + sum(map(text_size, called))
        elif kind == "function_call_output":
            role = "tool"
            size += text_size(said["call_id"]) + text_size(said["output"])
        else:
            continue  # it is not sent
        if role == "assistant":  # what is said and called at once is one message
            answer = said.get("group_id") or said["id"].partition("/")[0]
            if answer in answers:
                continue
            answers.add(answer)
        messages += 1
        size += len(role)
    extra = _NO_MESSAGES + MESSAGE_FRAMING_TOKENS * messages + IMAGE_TOKENS * images
    return size, extra, images > 0


def _content(parts: list[Any]) -> tuple[int, int]:
    """Bytes of text, and images, of a message's content; its texts are joined by new lines."""
    if len(parts) == 1 and isinstance(parts[0], str):  # as nearly always
        return text_size(parts[0]), 0
    size, images, texts = 0, 0, 0
    for part in parts:
        if isinstance(part, str):
            size += text_size(part)
            texts += 1
        elif getattr(part, "type", None) == "image_content":
            images += 1
    beside = _TEXT_PART if images and texts else 0
    return size + max(0, texts - 1) + beside, images


def measure_tools(tools: list[Any]) -> int:
    """Bytes of the schemas of *tools*: as they last went over the wire, else a guess.

    LiveKit makes the schemas anew for each request, at milliseconds a tool; once is enough.
    """
    return sum(_tools.get(tool) or len(str(getattr(tool, "info", tool))) for tool in tools)


def learn_tools(tools: list[Any], chat_ctx: Any, sent: Request) -> None:
    """Note how large *tools* are, by what a request with them came to beside its context."""
    if not tools or all(tool in _tools for tool in tools):
        return
    schemas = sent.input_chars - measure_context(chat_ctx)[0]
    if schemas > 0:
        each, more = divmod(schemas, len(tools))
        _tools.update(dict.fromkeys(tools, each))
        _tools[tools[0]] += more
