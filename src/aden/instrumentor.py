"""The door for people who instrument by OpenTelemetry's own convention."""

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)


class AdenInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """``AdenInstrumentor().instrument(tracer_provider=…, meter_provider=…, options=…)``."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: providers are wrapped when they are imported."""
        return ()

    def instrument(self, **kwargs: Any) -> None:
        """Put the options in force; a second call replaces those of the first.

        Args:
            **kwargs: ``tracer_provider``, ``meter_provider``, ``logger_provider``,
                ``completion_hook``; and ``options``, or fields of `aden.MeterOptions`.

        Raises:
            ConfigurationError: A setting is wrong. Nothing has changed then.
        """
        if self._is_instrumented_by_opentelemetry:  # where OpenTelemetry would warn and do nothing
            kwargs.pop("skip_dep_check", None)
            self._instrument(**kwargs)
        else:
            super().instrument(**kwargs)

    def uninstrument(self, **kwargs: Any) -> None:
        """Take everything back, whichever way it came into the process."""
        if self._is_instrumented_by_opentelemetry:
            super().uninstrument(**kwargs)
        else:  # where OpenTelemetry would warn and do nothing
            self._uninstrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        from aden.face import merge_options
        from aden.otel.arguments import OTelArguments
        from aden.runtime import start

        otel = OTelArguments(
            **{name: kwargs.pop(name, None) for name in OTelArguments.__dataclass_fields__}
        )
        start(merge_options(kwargs.pop("options", None), kwargs), otel)

    def _uninstrument(self, **kwargs: Any) -> None:
        from aden.runtime import stop

        stop()
