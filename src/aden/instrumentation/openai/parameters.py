"""What the parameters of a request and the values of an answer have in common, on any endpoint."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aden.core.failure import ReportedFailure
from aden.instrumentation.told import LISTS, get

RAW_HEADER = "x-stainless-raw-response"
METADATA_CHARS = 512
"""Longest metadata value that OpenAI takes."""
OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}
"""The conventions' ``gen_ai.output.type`` of each kind of answer that a request can ask for."""


def text(value: object) -> str | None:
    """*value* where it is a text that says something; a provider or a caller may send anything."""
    if type(value) is str:  # which it nearly always is
        return value or None
    return str.__str__(value) or None if isinstance(value, str) else None  # an Enum's is its value


def texts(values: Iterable[object]) -> tuple[str, ...]:
    """Those of *values* that are texts."""
    return tuple([each for value in values if (each := text(value)) is not None])


def items(value: object) -> Sequence[Any]:
    """*value* where it is a list, else nothing."""
    return value if isinstance(value, LISTS) else ()


def failure(error: Any) -> ReportedFailure:
    """An error as the provider's answer tells it."""
    code = text(get(error, "code")) or text(get(error, "type"))
    said = error if isinstance(error, str) else get(error, "message")
    return ReportedFailure(code or "error", str(said or ""))


def is_given(value: object) -> bool:
    """False for None and for the SDK's ``NOT_GIVEN`` and ``omit``."""
    return value is not None and type(value).__name__ not in ("NotGiven", "Omit")


def given(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keyword arguments that say something."""
    if _SAYING.issuperset(map(type, kwargs.values())):  # which nearly always all do
        return kwargs
    return {
        name: value
        for name, value in kwargs.items()
        if type(value) in _SAYING or is_given(value)  # LiveKit names what it does not give
    }


_SAYING = frozenset((str, int, float, bool, list, dict))


_APART = ("metadata", "stream")
"""What is read apart, and what the SDK does not look for there."""


def as_sent(kwargs: Mapping[str, Any], client: Any) -> Mapping[str, Any]:
    """The parameters as the provider reads them: the SDK lays ``extra_body`` over the others."""
    body = kwargs.get("extra_body")
    if not body or not isinstance(body, Mapping):
        return kwargs
    named = {"model"} if hasattr(client, "_azure_deployment") else ()  # Azure reads it in the URL
    over = {name: value for name, value in body.items() if name not in _APART and name not in named}
    return {**kwargs, **over}


def reads_bytes(sent: Mapping[str, Any]) -> bool:
    """Under ``with_streaming_response`` the caller may see each byte: nothing could be hidden."""
    headers = sent.get("extra_headers")
    if not isinstance(headers, Mapping):
        return False
    return any(str(name).lower() == RAW_HEADER and headers[name] == "stream" for name in headers)


def metadata_of(kwargs: Mapping[str, Any]) -> dict[str, object]:
    """The request's own metadata, which may carry attribution."""
    found: dict[str, object] = {}
    own, body = kwargs.get("metadata"), kwargs.get("extra_body")
    if own is None and body is None:
        return found
    for source in (own, get(body, "metadata")):
        if source and isinstance(source, Mapping):
            found.update({str(key): value for key, value in source.items()})
    return found


def wire_copy(kwargs: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What goes over the wire: the decided model, and metadata as far as the provider takes it.

    What need not be changed stays the caller's own object.
    """
    sent = dict(kwargs)
    if _is_another(sent.get("model"), model):
        sent["model"] = model
    body = sent.get("extra_body")
    if body and isinstance(body, Mapping):
        if _is_another(body.get("model"), model):
            body = {**body, "model": model}
        if isinstance(body.get("metadata"), Mapping):
            body = _with_short_metadata(body)
        sent["extra_body"] = body
    return sent


def _is_another(asked: Any, model: str) -> bool:
    """Where none is asked, the URL names it, and the body is left as it is."""
    return asked != model and is_given(asked) and text(asked) not in (None, model)


def _with_short_metadata(body: Mapping[str, Any]) -> dict[str, Any]:
    """The provider takes short strings only; metadata without any is left out."""
    kept = {
        key: value
        for key, value in body["metadata"].items()
        if isinstance(value, str) and len(value) <= METADATA_CHARS
    }
    rest = {key: value for key, value in body.items() if key != "metadata"}
    return {**rest, "metadata": kept} if kept else rest
