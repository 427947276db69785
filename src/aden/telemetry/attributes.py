"""A finished call as span attributes: pure."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from aden.core.attribution import NOBODY, Attribution
from aden.core.decision import Decision
from aden.core.money import to_usd
from aden.core.place import NOWHERE, Place
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names

Value = str | bool | int | float | list[str] | list[float] | tuple[str, ...]


def start_attributes(request: Request) -> dict[str, Value]:
    """What a span carries from its start, and what metrics are counted by."""
    said: dict[str, Value] = {
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: request.provider,
    }
    if request.model:
        said[names.REQUEST_MODEL] = request.model
    if request.server_address is not None:
        said[names.SERVER_ADDRESS] = request.server_address
    if request.server_port is not None:
        said[names.SERVER_PORT] = request.server_port
    return said


def cap(tokens: int | None) -> dict[str, Value]:
    """A cap on the output that was sent, where it is not the request's own."""
    return {} if tokens is None else {names.REQUEST_MAX_TOKENS: tokens}


_SAID = {
    names.BUDGET_ID: "budget_id",
    names.BUDGET_PERCENT_USED: "percent_used",
    names.LEDGER_REACH: "reach",
    names.STREAM_END: "stream_end",
    names.RESPONSE_ID: "response_id",
    names.RESPONSE_MODEL: "response_model",
    names.INPUT_TOKENS: "usage.input_tokens",
    names.OUTPUT_TOKENS: "usage.output_tokens",
    names.CACHE_READ_TOKENS: "usage.cached_tokens",
    names.CACHE_WRITE_TOKENS: "usage.cache_write_tokens",
    names.REASONING_TOKENS: "usage.reasoning_tokens",
}
"""What is shown as it is, where a record has it."""
_said = attrgetter(*_SAID.values())


def of_record(record: CallRecord) -> dict[str, Value]:
    """Everything of ours, and the conventions' usage: what an inference span carries at its end."""
    said: dict[str, Value] = {
        names.CALL_ID: record.id,
        names.PRICE_SOURCE: record.price_source,
        names.ASKED_MODEL: record.asked_model,
        names.ATTEMPTS: record.attempts,
        names.USAGE_ESTIMATED: record.usage.estimated,
        names.COST_USD: to_usd(record.cost),
    }
    for name, value in zip(_SAID, _said(record), strict=True):
        if value is not None:
            said[name] = value
    if record.finish_reasons:
        said[names.RESPONSE_FINISH_REASONS] = record.finish_reasons
    if record.ttft_ms is not None:
        said[names.RESPONSE_TTFC] = record.ttft_ms / 1000
    if record.repeats > 1:
        said[names.DECISION_REPEATS] = record.repeats
    if (counts := _media(record.usage)) != _NO_MEDIA:
        said |= _of_media(counts)
    return said | _of_asking(record)


def of_refusal(record: CallRecord) -> dict[str, Value]:
    """What a span above those of requests carries: why none was made, without usage and cost."""
    given = {names.CALL_ID: record.id, names.BUDGET_ID: record.budget_id}
    return _given({**given, names.BUDGET_PERCENT_USED: record.percent_used}) | _of_asking(record)


def _of_asking(record: CallRecord) -> dict[str, Value]:
    """Who asked, where, and what was decided; mostly the last alone."""
    said = of_decision(record.decision)
    if record.observed is not None:
        said |= _of_observed(record.observed)
    if record.attribution is not NOBODY:
        said |= of_attribution(record.attribution)
    if record.place is not NOWHERE:
        said |= of_place(record.place)
    return said


def of_decision(decision: Decision) -> dict[str, Value]:
    """What was decided, by whom, why."""
    said: dict[str, Value] = {names.DECISION_ACTION: decision.action}
    if decision.reason is not None:
        said[names.DECISION_REASON] = decision.reason
    if decision.source is not None:
        said[names.DECISION_SOURCE] = decision.source
    if decision.delay_ms:
        said[names.DECISION_DELAY_MS] = decision.delay_ms
    return said


def _of_observed(decision: Decision) -> dict[str, Value]:
    """What would have been decided if nothing were only observed."""
    return _given(
        {
            names.OBSERVED_ACTION: decision.action,
            names.OBSERVED_REASON: decision.reason,
            names.OBSERVED_BUDGET_ID: decision.budget_id,
            names.OBSERVED_MODEL: decision.model,
            names.OBSERVED_DELAY_MS: decision.delay_ms or None,
        }
    )


def proposed_cost(record: CallRecord) -> dict[str, Value]:
    """The cost by the names of semantic-conventions-genai's pull request 443; none where unknown.

    https://github.com/open-telemetry/semantic-conventions-genai/pull/443
    """
    if record.price_source in ("floor", "none"):
        return {}
    return {
        names.COST_AMOUNT: to_usd(record.cost),
        names.COST_CURRENCY: "USD",
        names.COST_SOURCE: "local",
    }


def of_attribution(attribution: Attribution) -> dict[str, Value]:
    """The labels by which spend is attributed."""
    return {names.ATTRIBUTION + key: value for key, value in attribution.as_dict().items()}


def of_place(place: Place) -> dict[str, Value]:
    """At which point of a voice agent's work a call was made. Never on metrics."""
    return _given(
        {
            names.CONVERSATION_ID: place.room_id,
            names.AGENT_NAME: place.agent,
            names.JOB_ID: place.job_id,
            names.ROOM_ID: place.room_id,
            names.PARTICIPANT_ID: place.participant_id,
            names.TURN_ID: place.turn_id,
            names.SPEECH_ID: place.speech_id,
        }
    )


_MEDIA = {
    "audio_input_tokens": names.AUDIO_INPUT_TOKENS,
    "audio_output_tokens": names.AUDIO_OUTPUT_TOKENS,
    "cached_audio_tokens": names.CACHED_AUDIO_TOKENS,
    "image_input_tokens": names.IMAGE_INPUT_TOKENS,
    "image_output_tokens": names.IMAGE_OUTPUT_TOKENS,
    "cached_image_tokens": names.CACHED_IMAGE_TOKENS,
    "characters": names.CHARACTERS,
    "images": names.IMAGES,
    "web_searches": names.WEB_SEARCHES,
    "file_searches": names.FILE_SEARCHES,
    "audio_input_ms": names.AUDIO_INPUT_SECONDS,
    "audio_output_ms": names.AUDIO_OUTPUT_SECONDS,
    "session_ms": names.SESSION_SECONDS,
}
_media = attrgetter(*_MEDIA)
_NO_MEDIA = (None,) * len(_MEDIA)


def _of_media(counts: Sequence[int | None]) -> dict[str, Value]:
    """What was heard, shown, spoken or searched; most answers have none of it."""
    return {
        name: count / 1000 if field.endswith("_ms") else count
        for (field, name), count in zip(_MEDIA.items(), counts, strict=True)
        if count is not None
    }


def _given(values: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}
