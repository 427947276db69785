"""What the endpoints beside chat have in common: how they are described and rewritten."""

from collections.abc import Mapping
from typing import Any

from aden.core.request import Request, Scalar
from aden.instrumentation.openai.hosts import model_of, server_of
from aden.instrumentation.openai.parameters import given, metadata_of, wire_copy
from aden.metering.attempt import Attempt

Attributes = Mapping[str, Scalar | tuple[str, ...]]


def described(
    kwargs: Mapping[str, Any], client: Any, operation: str, attributes: Attributes, **facts: Any
) -> Request:
    """A request with what all endpoints share: provider, model, server, metadata."""
    asked = given(kwargs)
    provider, host, port = server_of(client)
    model, pinned = model_of(asked, client)
    return Request(
        provider=provider,
        model=model,
        operation=operation,
        pinned=pinned,
        server_address=host,
        server_port=port,
        metadata=metadata_of(asked),
        span_attributes=attributes,
        **facts,
    )


def rewrite(kwargs: dict[str, Any], model: str, _ask: bool) -> tuple[dict[str, Any], bool]:
    """What is sent: the decided model."""
    return wire_copy(kwargs, model), False


def unseen(_attempt: Attempt, _chunk: Any, _hide: bool) -> bool:
    """Reads no chunk: the endpoint does not stream."""
    return True
