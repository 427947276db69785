"""The door for people who instrument by OpenTelemetry's own convention."""

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from aden.face import merge_options
from aden.runtime import OTelArguments, start, stop


class AdenInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """``AdenInstrumentor().instrument(tracer_provider=…, meter_provider=…, options=…)``."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: providers are wrapped when they are imported."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        otel = OTelArguments(
            **{name: kwargs.pop(name, None) for name in OTelArguments.__dataclass_fields__}
        )
        kwargs.pop("skip_dep_check", None)
        start(merge_options(kwargs.pop("options", None), kwargs), otel)

    def _uninstrument(self, **kwargs: Any) -> None:
        stop()
