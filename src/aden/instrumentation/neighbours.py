"""Other instrumentors of the same functions may come and go: ours stays in force, and on top.

Those of OpenTelemetry wrap above whatever is there, and when they leave take off whatever is on
top (``opentelemetry.instrumentation.utils.unwrap``). All come and go through one base class.
"""

from collections.abc import Callable
from typing import Any

from aden.instrumentation.openai import OPENAI
from aden.instrumentation.patches import Patch, Patches

_MODULE = "opentelemetry.instrumentation.instrumentor"


def _coming(wrapped: Callable[..., Any], _instrumentor: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        OPENAI.rise()


def _leaving(wrapped: Callable[..., Any], _instrumentor: Any, args: Any, kwargs: Any) -> Any:
    OPENAI.sink()
    try:
        return wrapped(*args, **kwargs)
    finally:
        OPENAI.rise()


NEIGHBOURS = Patches(
    (
        Patch(_MODULE, "BaseInstrumentor.instrument", _coming),
        Patch(_MODULE, "BaseInstrumentor.uninstrument", _leaving),
    ),
)
"""Where we learn of them."""
