"""Attributes into a span of OpenTelemetry's SDK without its checks, where they say nothing new.

The SDK looks at each attribute in three functions, and copies all of them first: two thirds of what
a span of ours takes. Ours are of its types when they are made. How the SDK keeps them is private to
it: where that is not as it was (1.45), or its limits have a say, its own method writes.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Span

from aden.telemetry.attributes import Value

_KEPT_AS_IS = frozenset((str, int, float, bool, tuple))


def write(span: Span, attributes: Mapping[str, Value]) -> None:
    """``span.set_attributes(attributes)``."""
    kept: Any = getattr(span, "_attributes", None)
    if (
        type(kept) is not BoundedAttributes
        or not span.is_recording()
        or kept.max_value_len is not None
        or (kept.maxlen is not None and len(kept) + len(attributes) > kept.maxlen)
        or not _KEPT_AS_IS.issuperset(map(type, attributes.values()))
        or type(getattr(kept, "_dict", None)) is not dict
    ):
        span.set_attributes(attributes)
        return
    with kept._lock:
        kept._dict.update(attributes)
