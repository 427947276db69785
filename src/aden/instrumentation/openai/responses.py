"""The Responses API: a request described, a response read, an event read. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aden.core.request import Request, Scalar, hides_output
from aden.core.usage import Usage, token_count
from aden.instrumentation.openai.endings import ResponseEnding
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.hosts import server_of
from aden.instrumentation.openai.images import counted_images
from aden.instrumentation.openai.measuring import json_size, measure, measure_messages
from aden.instrumentation.openai.parameters import (
    OUTPUT_TYPES,
    failure,
    given,
    items,
    metadata_of,
    text,
    wire_copy,
)
from aden.instrumentation.openai.usage import RESPONSES, counted
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt, Drawn
from aden.telemetry.spans import Answer

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "previous_response_id": "gen_ai.request.previous_response.id",
}
_UNSEEN_INPUT = ("previous_response_id", "conversation", "prompt")
"""Parameters that name input which the provider keeps."""
_PREVIEW = "web_search_preview"
_DRAWS = "gpt-image-2.6-sunburst"
"""The image tool's model where none is named (openai 3.57, ``types/responses/tool.py``)."""
_COMPACTED = {"gen_ai.conversation.compacted": True}
_AT_WORK = ("queued", "in_progress")
_CALLS = ("function_call", "custom_tool_call", "computer_call")
"""Tool calls that the caller answers."""
_SOUND = "response.audio.delta"
_FINISH_REASONS = {"max_output_tokens": "length"}
"""The conventions' words for what the API calls otherwise."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked, as far as deciding, pricing and showing need it."""
    asked = given(kwargs)
    provider, host, port = server_of(client)
    model = text(asked.get("model")) or ""
    size, extra, media = _measure_input(asked)
    effort = get(asked.get("reasoning"), "effort")
    return Request(
        provider=provider,
        model=model,
        stream=bool(asked.get("stream")),
        input_chars=size,
        input_extra_tokens=extra,
        max_output_tokens=token_count(asked.get("max_output_tokens")),
        hidden_output=hides_output(model, effort),
        pinned=not model,  # at Azure too it is no deployment in the URL
        effort=effort is not None,
        media=media,
        schema=_form(asked) == "json_schema",
        preview_search=any(
            str(get(tool, "type")).startswith(_PREVIEW) for tool in items(asked.get("tools"))
        ),
        service_tier=text(asked.get("service_tier")),
        previous_response_id=text(asked.get("previous_response_id")),
        conversation_id=_conversation(asked),
        is_kept=True,
        unseen_input=any(name in asked for name in _UNSEEN_INPUT),
        server_address=host,
        server_port=port,
        metadata=metadata_of(asked),
        span_attributes=_span_attributes(asked, effort),
    )


def rewrite(kwargs: dict[str, Any], model: str, _ask: bool) -> tuple[dict[str, Any], bool]:
    """What is sent: the decided model. Usage comes without being asked for."""
    return wire_copy(kwargs, model), False


def read(attempt: Attempt, response: Any) -> None:
    """Note what a response object says, by whatever way it came; an object or its JSON."""
    attempt.response_id = text(get(response, "id")) or attempt.response_id
    attempt.response_model = text(get(response, "model")) or attempt.response_model
    status = get(response, "status")
    if tier := text(get(response, "service_tier")):
        attempt.service_tier = tier
        _say(attempt, {"openai.response.service_tier": tier})
    attempt.at_work = status in _AT_WORK and bool(get(response, "background"))
    attempt.over = status not in _AT_WORK
    if not attempt.over:
        return
    output = items(get(response, "output"))
    attempt.finish_reasons = _finish_reasons(response, status, output)
    if _compacts(output):
        _say(attempt, _COMPACTED)
    if status == "failed":
        attempt.failure = failure(get(response, "error"))
    _read_usage(attempt, get(response, "usage"), _searches(response, output))
    attempt.drawn = _drawn(response, output)
    if attempt.outcome != "reported" and not attempt.deltas:
        for item in output:
            attempt.saw_text("".join(_texts(item)))


def feed(attempt: Attempt, event: Any, _hide_usage: bool) -> bool:
    """Note what an event says; the caller sees each."""
    kind = get(event, "type")
    if not isinstance(kind, str):
        return True
    if kind.endswith(".delta"):
        delta = get(event, "delta")
        if isinstance(delta, str) and delta and kind != _SOUND:
            attempt.saw_text(delta)
    elif (response := get(event, "response")) is not None:
        read(attempt, response)
    elif (item := get(event, "item")) is not None and _compacts([item]):
        _say(attempt, _COMPACTED)
    elif kind == "response.output_item.done":
        attempt.saw_searches(_searches(None, [item]))
    elif kind == "response.output_item.added":
        name = get(item, "name")
        if isinstance(name, str) and name:
            attempt.saw_text(name)
    elif kind == "error":
        attempt.failure = failure(get(event, "error") or event)
    return True


def _say(attempt: Attempt, more: Mapping[str, Scalar]) -> None:
    attempt.answer = Answer({**attempt.answer.attributes, **more})


def _compacts(listed: object) -> bool:
    """Whether the provider has put an earlier part of the conversation into fewer tokens."""
    return any(get(item, "type") == "compaction" for item in items(listed))


def _read_usage(attempt: Attempt, usage: Any, searches: Usage) -> None:
    if attempt.outcome == "open":
        attempt.usage = searches  # of all of it, as often as its events told of them
    if usage is not None:
        told, attempt.doubt = counted(usage, RESPONSES)
        attempt.saw_usage(told.filled(searches))


def _searches(response: Any, output: Sequence[Any]) -> Usage:
    """What the provider searched and bills by the search.

    As it tells itself, else by the items; to open a page is free
    (https://developers.openai.com/api/docs/guides/tools-web-search).
    """
    web = token_count(get(get(get(response, "tool_usage"), "web_search"), "num_requests"))
    kinds = [get(item, "type") for item in output if _may_bill(item)]
    web = kinds.count("web_search_call") if web is None else web
    # None where it searched nothing: few do.
    return Usage(web_searches=web or None, file_searches=kinds.count("file_search_call") or None)


def _drawn(response: Any, output: Sequence[Any]) -> Drawn | None:
    """What the image tool used, which the response's own usage is without."""
    told, _ = counted_images(get(get(response, "tool_usage"), "image_gen"))
    if not told.output_tokens:
        return None
    models = [
        text(get(tool, "model"))
        for tool in items(get(response, "tools"))
        if get(tool, "type") == "image_generation"
    ]
    images = [get(item, "type") for item in output].count("image_generation_call")
    return Drawn(next(filter(None, models), _DRAWS), replace(told, images=images or 1))


def _may_bill(item: Any) -> bool:
    return get(get(item, "action"), "type") in (None, "search")


def _finish_reasons(response: Any, status: Any, output: Sequence[Any]) -> tuple[str, ...]:
    """Why it stopped, in the conventions' words, each once."""
    if status in ("failed", "cancelled"):
        return ("error",)
    if status == "incomplete":
        reason = get(get(response, "incomplete_details"), "reason") or status
        return (_FINISH_REASONS.get(str(reason), str(reason)),)
    kinds = [get(item, "type") for item in output]
    found = [
        "tool_calls" if kind in _CALLS else "stop" for kind in kinds if kind in ("message", *_CALLS)
    ]
    return tuple(dict.fromkeys(found)) or (("stop",) if status == "completed" else ())


def _texts(item: Any) -> Iterable[str]:
    """Everything of an output item that was generated as text."""
    for name in ("name", "arguments", "input"):
        if isinstance(said := get(item, name), str):
            yield said
    for part in (*items(get(item, "content")), *items(get(item, "summary"))):
        for name in ("text", "refusal"):
            if isinstance(said := get(part, name), str):
                yield said


def _measure_input(asked: Mapping[str, Any]) -> tuple[int, int, bool]:
    """(UTF-8 bytes, tokens that they do not show, is it more than text) of what is sent."""
    sent = asked.get("input")
    size, extra, media = measure_messages([sent] if isinstance(sent, str) else sent)
    if "instructions" in asked:
        more, tokens, _ = measure_messages([asked["instructions"]])
        size, extra = size + more, extra + tokens - measure_messages([])[1]
    size += measure(asked.get("prompt"))[0]
    for name in ("tools", "text", "text_format"):
        if name in asked:
            size += json_size(_schema(asked[name]))
    return size, extra, media


def _schema(value: Any) -> Any:
    """A pydantic class stands for its schema."""
    make = getattr(value, "model_json_schema", None)
    return make() if callable(make) else value


def _conversation(asked: Mapping[str, Any]) -> str | None:
    named = asked.get("conversation")
    return text(named if isinstance(named, str) else get(named, "id"))


def _span_attributes(
    asked: Mapping[str, Any], effort: object
) -> dict[str, Scalar | tuple[str, ...]]:
    attributes: dict[str, Scalar | tuple[str, ...]] = {"openai.api.type": "responses"}
    for name, attribute in _PARAMETERS.items():
        if isinstance(value := asked.get(name), str | int | float):
            attributes[attribute] = value
    if isinstance(effort, str):
        attributes["gen_ai.request.reasoning.level"] = effort
    if isinstance(tier := asked.get("service_tier"), str) and tier != "auto":
        attributes["openai.request.service_tier"] = tier
    if conversation := _conversation(asked):
        attributes["gen_ai.conversation.id"] = conversation
    if _compacts(asked.get("input")):
        attributes |= _COMPACTED
    if output := OUTPUT_TYPES.get(_form(asked)):
        attributes["gen_ai.output.type"] = output
    return attributes


def _form(asked: Mapping[str, Any]) -> str:
    """The kind of answer that is asked for; a class is the schema that ``parse`` takes."""
    kind = get(get(asked.get("text"), "format"), "type")
    return "json_schema" if kind is None and "text_format" in asked else str(kind)


def _content() -> ContentReader:
    from aden.instrumentation.openai import responses_content

    return responses_content


ENDPOINT = Endpoint(
    describe, rewrite, read, feed, _content, caps=("max_output_tokens",), ending=ResponseEnding
)
