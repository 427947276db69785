"""``chat.completions``: a request described, a response read, a chunk read. Pure functions."""

from collections.abc import Iterable, Mapping
from typing import Any

from aden.core.request import Request, Scalar, hides_output
from aden.core.usage import token_count
from aden.instrumentation.openai.endings import of_choices
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.hosts import model_of, server_of
from aden.instrumentation.openai.measuring import (
    json_size,
    measure_messages,
    plays_sound,
    speech_tokens,
)
from aden.instrumentation.openai.parameters import (
    OUTPUT_TYPES,
    failure,
    given,
    is_given,
    items,
    metadata_of,
    reads_bytes,
    text,
    texts,
    wire_copy,
)
from aden.instrumentation.openai.usage import COMPLETIONS, note_usage
from aden.instrumentation.told import LISTS, fields, get
from aden.metering.attempt import Attempt
from aden.telemetry.spans import Answer

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "service_tier": "openai.request.service_tier",
}
_SAID = {
    "service_tier": "openai.response.service_tier",
    "system_fingerprint": "openai.response.system_fingerprint",
}
_SCALARS = (str, int, float)
_TEXT_ALONE = {"content", "role"}
"""Fields of a delta that says a text and nothing else."""
_NO_DELTA = {""}
"""Those of what is no object of the SDK."""
_UNSAID = {"service_tier": "auto"}
"""What a parameter says that says nothing."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked, as far as deciding, pricing and showing need it."""
    asked = given(kwargs)
    provider, host, port = server_of(client)
    model, pinned = model_of(asked, client)
    size, extra, media = _measure_input(asked)
    form, effort = _form(asked), asked.get("reasoning_effort")
    return Request(
        provider=provider,
        model=model,
        stream=bool(asked.get("stream")),
        input_chars=size,
        input_extra_tokens=extra,
        max_output_tokens=token_count(asked.get("max_completion_tokens"))
        or token_count(asked.get("max_tokens")),
        choices=token_count(asked.get("n")) or 1,
        hidden_output=hides_output(model, effort),
        pinned=pinned,
        effort=effort is not None,
        media=media,
        sound=asked.get("audio") is not None or (media and plays_sound(asked.get("messages"))),
        schema=form == "json_schema",
        service_tier=text(asked.get("service_tier")),
        server_address=host,
        server_port=port,
        metadata=metadata_of(asked),
        span_attributes=span_attributes(asked),
    )


def rewrite(kwargs: dict[str, Any], model: str, ask: bool) -> tuple[dict[str, Any], bool]:
    """What is sent: the decided model, and usage asked for where a stream did not (if *ask*)."""
    sent = wire_copy(kwargs, model)
    if not ask or not sent.get("stream") or not is_given(sent["stream"]):
        return sent, False
    options = sent.get("stream_options") if is_given(sent.get("stream_options")) else {}
    if not isinstance(options, Mapping) or options.get("include_usage") or reads_bytes(sent):
        return sent, False
    sent["stream_options"] = {**options, "include_usage": True}
    return sent, True


def read(attempt: Attempt, response: Any) -> None:
    """Note what a whole response says; an object of the SDK or its JSON."""
    told = fields(response)
    attempt.response_id = text(told.get("id")) or attempt.response_id
    attempt.response_model = text(told.get("model")) or attempt.response_model
    attempt.service_tier = text(told.get("service_tier")) or attempt.service_tier
    choices = items(told.get("choices"))
    attempt.finish_reasons = texts([get(choice, "finish_reason") for choice in choices])
    said = _said(told)
    attempt.answer = Answer(said, said)
    note_usage(attempt, told.get("usage"), COMPLETIONS)
    if attempt.outcome != "reported":
        for choice in choices:
            _saw(attempt, get(choice, "message"))


def feed(attempt: Attempt, chunk: Any, hide_usage: bool) -> bool:
    """Note what a chunk says; False for the usage chunk that only we asked for."""
    told = fields(chunk)
    if attempt.response_id is None:
        attempt.response_id = text(told.get("id"))
        attempt.response_model = text(told.get("model"))
        attempt.answer = Answer(_said(told))
    if told is chunk and (error := told.get("error")):
        attempt.failure = failure(error)  # of an object, the SDK has raised it already
    choices = items(told.get("choices"))
    for choice in choices:
        _feed_choice(attempt, fields(choice))
    usage = told.get("usage")
    if usage is not None:
        attempt.service_tier = text(told.get("service_tier")) or attempt.service_tier
        note_usage(attempt, usage, COMPLETIONS)
        return not (hide_usage and is_usage_alone(told))
    if hide_usage and hasattr(chunk, "model_fields_set"):
        # Asked for usage, the provider says "usage": null in every other chunk.
        chunk.model_fields_set.discard("usage")
    return True


def is_usage_alone(chunk: Mapping[str, Any]) -> bool:
    """Whether all that a chunk says is what was used: there is none unless it was asked for."""
    return chunk.get("usage") is not None and not items(chunk.get("choices"))


def _said(told: Mapping[str, Any]) -> dict[str, str]:
    """What OpenAI tells of how it answered."""
    said = {}
    for name, attribute in _SAID.items():
        if isinstance(value := told.get(name), str) and value:
            said[attribute] = value
    return said


def _feed_choice(attempt: Attempt, choice: Mapping[str, Any]) -> None:
    delta: Any = choice.get("delta")
    if (
        getattr(delta, "__pydantic_fields_set__", _NO_DELTA) <= _TEXT_ALONE  # as nearly always
        and not delta.__pydantic_extra__  # where thoughts are, which the SDK does not know
    ):
        if said := text(delta.content):
            attempt.saw_text(said)
    else:
        _saw(attempt, delta)
    if reason := text(choice.get("finish_reason")):
        attempt.finish_reasons = (*attempt.finish_reasons, reason)


def _saw(attempt: Attempt, message: Any) -> None:
    """Note what a message, or a piece of one, says and speaks."""
    if isinstance(sound := get(get(message, "audio"), "data"), str) and sound:
        attempt.saw_speech(speech_tokens(sound))
    if said := "".join(_texts(message)):
        attempt.saw_text(said)


def _texts(delta: Any) -> Iterable[str]:
    # Of thoughts, the name at DeepSeek and xAI, else at OpenRouter and Groq; vLLM has said both.
    thought = get(delta, "reasoning_content") or get(delta, "reasoning")
    spoken = get(get(delta, "audio"), "transcript")
    for said in (get(delta, "content"), get(delta, "refusal"), thought, spoken):
        if isinstance(said, str):
            yield said
    calls = [
        get(call, "function") or get(call, "custom") for call in items(get(delta, "tool_calls"))
    ]
    for called in (*calls, get(delta, "function_call")):
        for name in ("name", "arguments", "input"):
            if isinstance(said := get(called, name), str):
                yield said


def _measure_input(asked: Mapping[str, Any]) -> tuple[int, int, bool]:
    """(UTF-8 bytes, tokens that they do not show, is it more than text) of what the model reads."""
    size, extra, media = measure_messages(asked.get("messages"))
    for name in ("tools", "functions", "response_format"):
        if name in asked:
            size += json_size(asked[name])
    return size, extra, media


def span_attributes(asked: Mapping[str, Any]) -> dict[str, Scalar | tuple[str, ...]]:
    """The request's parameters by the conventions' names."""
    attributes: dict[str, Scalar | tuple[str, ...]] = {"openai.api.type": "chat_completions"}
    for name, value in asked.items():
        attribute = _PARAMETERS.get(name)
        if attribute is not None and isinstance(value, _SCALARS) and value != _UNSAID.get(name):
            attributes[attribute] = value
    cap = asked.get("max_completion_tokens", asked.get("max_tokens"))
    if isinstance(cap, _SCALARS):
        attributes["gen_ai.request.max_tokens"] = cap
    if "n" in asked and (choices := token_count(asked["n"])) and choices != 1:
        attributes["gen_ai.request.choice.count"] = choices
    stop = asked.get("stop")
    if isinstance(stop, str):
        attributes["gen_ai.request.stop_sequences"] = (stop,)
    elif isinstance(stop, LISTS):
        attributes["gen_ai.request.stop_sequences"] = tuple(str(each) for each in stop)
    if output := OUTPUT_TYPES.get(_form(asked)):
        attributes["gen_ai.output.type"] = output
    return attributes


def _form(asked: Mapping[str, Any]) -> str:
    """The kind of answer that is asked for; a class is the schema that ``parse`` takes."""
    form = asked.get("response_format")
    if form is None:
        return ""
    kind = "json_schema" if isinstance(form, type) else form
    return kind if isinstance(kind, str) else str(get(kind, "type"))


def _content() -> ContentReader:
    from aden.instrumentation.openai import chat_content

    return chat_content


ENDPOINT = Endpoint(
    describe,
    rewrite,
    read,
    feed,
    _content,
    caps=("max_completion_tokens", "max_tokens"),
    ending=of_choices({"delta": {}}),
)
