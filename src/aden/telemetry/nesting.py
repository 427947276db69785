"""Speaks with other GenAI instrumentations through the context, so that nesting makes one span.

The protocol is that of ``opentelemetry-util-genai`` 1.3b0: who opens an inference puts an empty
record under a key of the context; who opens one inside makes no span and fills that record instead.
Who takes part has imported util-genai. So it is looked up among the loaded modules and not imported
here: where nobody has, there is nobody to speak with.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from aden.telemetry import names
from aden.telemetry.attributes import Value
from aden.telemetry.content import Prepared

if TYPE_CHECKING:
    from opentelemetry.context import Context

_UTIL = "opentelemetry.util.genai.invocation"
_AMBIENT = "opentelemetry.util.genai._conversation_context"


Protocol = tuple[str, Any]
"""The key of the context, and the class of the record under it."""


def protocol(operation: str) -> Protocol | None:
    """How to speak with others; None where nobody takes part."""
    module: Any = sys.modules.get(_UTIL)
    if module is None:
        return None
    if operation == "embeddings":
        return module.CLIENT_EMBEDDING_CONTEXT_KEY, module.EmbeddingData
    return module.CLIENT_INFERENCE_CONTEXT_KEY, module.InferenceData


def published(spoken: Protocol, context: "Context") -> "Context":
    """*context* with an empty record in it, which instrumentations inside will fill."""
    key, make = spoken
    return otel_context.set_value(key, make(), context)


def open_outside(spoken: Protocol) -> Any:
    """The record of the inference that is open around us; None where there is none.

    A context may outlive its inference: a task that was begun in it, a caller that was interrupted.
    """
    key, make = spoken
    record = otel_context.get_value(key)
    if not isinstance(record, make):
        return None
    span = trace.get_current_span()
    is_over = span.get_span_context().trace_flags.sampled and not span.is_recording()
    return None if is_over else record


def fill(record: Any, attributes: Mapping[str, Value], content: Prepared | None) -> None:
    """Tell the inference around us what this one came to."""
    fields = type(record).__dataclass_fields__
    for name, value in attributes.items():
        field = name.removeprefix("gen_ai.").replace(".", "_")
        if field in fields:
            setattr(record, field, value)
        else:
            record.attributes[name] = value
    if content is not None and getattr(record, "capture_content", False):
        record.input_messages = record.input_messages or content.inputs
        record.output_messages = record.output_messages or content.outputs
        record.system_instructions = record.system_instructions or content.system
        record.tool_definitions = record.tool_definitions or content.tools


def conversation() -> dict[str, Value]:
    """The conversation that an agent framework around us has named."""
    module = sys.modules.get(_AMBIENT)
    named = module.get_ambient_conversation_id() if module is not None else None
    return {names.CONVERSATION_ID: named} if named else {}
