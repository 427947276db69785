"""Where a Call travels: in the OpenTelemetry context, under a key of ours."""

from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from opentelemetry.context import Context

_CALL = otel_context.create_key("aden-call")


def with_call(call: object) -> "Context":
    """The current context with *call* in it."""
    return otel_context.set_value(_CALL, call)


def call_in(context: "Context | None" = None) -> object | None:
    """What `with_call` put into *context* (None: the current one)."""
    return otel_context.get_value(_CALL, context)
