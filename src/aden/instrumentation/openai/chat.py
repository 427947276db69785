"""``chat.completions``: a request described, a response read, a chunk read. Pure functions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request, Scalar, reasons
from aden.core.usage import Usage, token_count
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.hosts import address_of, provider_of
from aden.metering.attempt import Attempt

MESSAGE_FRAMING_TOKENS = 4
"""Per message and for the answer's start (https://cookbook.openai.com, "counting tokens")."""
IMAGE_TOKENS = 1105
"""A large high-detail image of gpt-4o (https://platform.openai.com/docs/guides/images-vision)."""
AUDIO_TOKENS_PER_BASE64_BYTE = 10 / (24_000 * 2 * 4 / 3)
"""Ten tokens a second of 24 kHz 16-bit audio."""

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "service_tier": "openai.request.service_tier",
}
_RAW_HEADER = "x-stainless-raw-response"
METADATA_CHARS = 512
"""Longest metadata value that OpenAI takes."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked, as far as deciding, pricing and showing need it."""
    given = {name: value for name, value in kwargs.items() if is_given(value)}
    host, port = address_of(client)
    model = str(given.get("model") or "")
    size, extra = _measure_input(given)
    return Request(
        provider=provider_of(client, host),
        model=model,
        stream=bool(given.get("stream")),
        input_chars=size,
        input_extra_tokens=extra,
        max_output_tokens=token_count(given.get("max_completion_tokens"))
        or token_count(given.get("max_tokens")),
        choices=max(1, token_count(given.get("n")) or 1),
        hidden_output=reasons(model) or bool(given.get("reasoning_effort")),
        pinned=bool(getattr(client, "_azure_deployment", None)),
        effort="reasoning_effort" in given,
        server_address=host,
        server_port=port,
        metadata=_metadata(given),
        span_attributes=_span_attributes(given),
    )


def rewrite(kwargs: dict[str, Any], model: str, ask: bool) -> tuple[dict[str, Any], bool]:
    """What is sent: the decided model, and usage asked for where a stream did not (if *ask*)."""
    sent = dict(kwargs)
    if is_given(sent.get("model")):
        sent["model"] = model
    _strip_metadata(sent)
    if not ask or not is_given(sent.get("stream")) or not sent.get("stream"):
        return sent, False
    options = sent.get("stream_options") if is_given(sent.get("stream_options")) else {}
    if not isinstance(options, Mapping) or options.get("include_usage") or _reads_bytes(sent):
        return sent, False
    sent["stream_options"] = {**options, "include_usage": True}
    return sent, True


def _reads_bytes(sent: Mapping[str, Any]) -> bool:
    """Under ``with_streaming_response`` the caller may see each byte: nothing could be hidden."""
    headers = sent.get("extra_headers")
    if not isinstance(headers, Mapping):
        return False
    return any(str(name).lower() == _RAW_HEADER and headers[name] == "stream" for name in headers)


def read(attempt: Attempt, response: Any) -> None:
    """Note what a whole response says; an object of the SDK or its JSON."""
    attempt.response_id = get(response, "id") or attempt.response_id
    attempt.response_model = get(response, "model") or attempt.response_model
    choices = get(response, "choices") or ()
    attempt.finish_reasons = tuple(
        str(reason) for choice in choices if (reason := get(choice, "finish_reason"))
    )
    _read_usage(attempt, get(response, "usage"))
    if attempt.outcome != "reported":
        for choice in choices:
            attempt.saw_text("".join(_texts(get(choice, "message"))))


def feed(attempt: Attempt, chunk: Any, hide_usage: bool) -> bool:
    """Note what a chunk says; False for the usage chunk that only we asked for."""
    if attempt.response_id is None:
        attempt.response_id = get(chunk, "id")
        attempt.response_model = get(chunk, "model")
    choices = get(chunk, "choices") or ()
    for choice in choices:
        _feed_choice(attempt, choice)
    usage = get(chunk, "usage")
    if usage is not None:
        _read_usage(attempt, usage)
        return bool(choices) or not hide_usage
    if hide_usage and not isinstance(chunk, Mapping):
        # Asked for usage, the provider says "usage": null in every other chunk.
        chunk.model_fields_set.discard("usage")
    return True


def _feed_choice(attempt: Attempt, choice: Any) -> None:
    delta = get(choice, "delta")
    text = "".join(_texts(delta)) if delta is not None else ""
    if text:
        attempt.saw_text(text)
    if reason := get(choice, "finish_reason"):
        attempt.finish_reasons = (*attempt.finish_reasons, str(reason))


def _texts(delta: Any) -> Iterable[str]:
    for name in ("content", "refusal", "reasoning_content"):
        if isinstance(text := get(delta, name), str):
            yield text
    for tool_call in get(delta, "tool_calls") or ():
        function = get(tool_call, "function")
        for name in ("name", "arguments"):
            if isinstance(text := get(function, name), str):
                yield text


def _read_usage(attempt: Attempt, usage: Any) -> None:
    if usage is None:
        return
    prompt = get(usage, "prompt_tokens_details")
    completion = get(usage, "completion_tokens_details")
    attempt.saw_usage(
        Usage(
            input_tokens=token_count(get(usage, "prompt_tokens")),
            output_tokens=token_count(get(usage, "completion_tokens")),
            cached_tokens=token_count(get(prompt, "cached_tokens")),
            cache_write_tokens=token_count(get(prompt, "cache_write_tokens")),
            reasoning_tokens=token_count(get(completion, "reasoning_tokens")),
            audio_input_tokens=token_count(get(prompt, "audio_tokens")),
            audio_output_tokens=token_count(get(completion, "audio_tokens")),
        )
    )


def get(value: Any, name: str) -> Any:
    """A field of an SDK object or of its JSON; None where there is none."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def is_given(value: object) -> bool:
    """False for None and for the SDK's ``NOT_GIVEN`` and ``omit``."""
    return value is not None and type(value).__name__ not in ("NotGiven", "Omit")


def _measure_input(given: Mapping[str, Any]) -> tuple[int, int]:
    """(UTF-8 bytes, tokens that bytes do not show) of everything that the model reads."""
    messages = given.get("messages")
    size, extra = 0, 3
    for message in messages if isinstance(messages, list | tuple) else ():
        text, tokens = _measure(message)
        size, extra = size + text, extra + tokens + MESSAGE_FRAMING_TOKENS
    for name in ("tools", "functions", "response_format"):
        if name in given:
            size += _json_size(given[name])
    return size, extra


def _measure(value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        return text_size(value), 0
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping):
        if value.get("type") in ("image_url", "input_image"):
            return 0, IMAGE_TOKENS
        if value.get("type") == "input_audio":
            data = get(value.get("input_audio"), "data") or ""
            return 0, round(len(data) * AUDIO_TOKENS_PER_BASE64_BYTE)
        value = value.values()
    elif not isinstance(value, list | tuple):
        return (0, 0) if value is None else (len(str(value)), 0)
    sizes = [_measure(each) for each in value]
    return sum(size for size, _ in sizes), sum(extra for _, extra in sizes)


def _json_size(value: Any) -> int:
    try:
        return len(json.dumps(value, default=str, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError):
        return len(str(value))


def _metadata(given: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    for source in (given.get("metadata"), get(given.get("extra_body"), "metadata")):
        if isinstance(source, Mapping):
            found.update({str(key): value for key, value in source.items()})
    return found


def _strip_metadata(sent: dict[str, Any]) -> None:
    """Take out of the wire copy what the provider would refuse: it takes short strings only."""
    body = sent.get("extra_body")
    if not isinstance(body, Mapping) or not isinstance(body.get("metadata"), Mapping):
        return
    kept = {
        key: value
        for key, value in body["metadata"].items()
        if isinstance(value, str) and len(value) <= METADATA_CHARS
    }
    body = {key: value for key, value in body.items() if key != "metadata"}
    sent["extra_body"] = {**body, "metadata": kept} if kept else body


def _span_attributes(given: Mapping[str, Any]) -> dict[str, Scalar | tuple[str, ...]]:
    attributes: dict[str, Scalar | tuple[str, ...]] = {"openai.api.type": "chat_completions"}
    for name, attribute in _PARAMETERS.items():
        if isinstance(value := given.get(name), str | int | float):
            attributes[attribute] = value
    if (choices := token_count(given.get("n"))) and choices != 1:
        attributes["gen_ai.request.choice.count"] = choices
    stop = given.get("stop")
    if isinstance(stop, str):
        attributes["gen_ai.request.stop_sequences"] = (stop,)
    elif isinstance(stop, list | tuple):
        attributes["gen_ai.request.stop_sequences"] = tuple(str(each) for each in stop)
    kind = get(given.get("response_format"), "type")
    if kind in ("text", "json_object", "json_schema"):
        attributes["gen_ai.output.type"] = "text" if kind == "text" else "json"
    return attributes


ENDPOINT = Endpoint(describe, rewrite, read, feed)
